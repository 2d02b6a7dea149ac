-- One row per content whose label a person corrected or confirmed: the label in force for every image of that content.
with given as (
    select *
    from data.verdicts
    where verdict = 'relabel'
    qualify row_number() over (partition by content_id order by created_at desc) = 1
)
select g.content_id, g.label, g.why, g.created_at, g.image_id
from given as g
where not exists (
    from data.verdicts as u
    where u.verdict = 'unset' and u.created_at > g.created_at and (u.content_id = g.content_id or u.image_id = g.image_id)
)
