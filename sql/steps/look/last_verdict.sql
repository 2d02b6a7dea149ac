-- One row: when the latest verdict was given, and when a plan was last replayed.
with replayed as (
    select max(created_at) as replayed from data.steps where step = 'curate' and name = $plan
)
select max(v.created_at) as latest, any_value(r.replayed) as replayed
from replayed as r
left join data.verdicts as v on true
