-- One row per image that was judged after the last replay of a plan.
with replayed as (
    select max(created_at) as at from data.steps where step = 'curate' and name = $plan
)
select distinct v.image_id
from data.verdicts as v, replayed as r
where r.at is null or v.created_at > r.at
