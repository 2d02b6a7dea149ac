-- One row per content whose label a person corrected or confirmed: the label in force for every image of that content.
with latest as (
    select *
    from data.verdicts
    where verdict in ('relabel', 'unset') and given_for is null -- a label goes with its bytes, not with an id
    qualify row_number() over (partition by content_id order by created_at desc) = 1
)
select content_id, label, why, created_at, image_id
from latest
where verdict = 'relabel'
