-- One row: when the latest verdict was given, and how many came after the last replay of a plan.
with replayed as (
    select max(created_at) as at from data.steps where step = 'curate' and name = $plan
)
select
    max(v.created_at) as latest,
    count(*) filter (r.at is null or v.created_at > r.at) as pending
from data.verdicts as v, replayed as r
