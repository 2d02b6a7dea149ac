-- One row per plan and row of the truth, with what took it out: a rule, 'ingest' where its file gave no picture, NULL if kept.
with plans as (
    select distinct plan
    from stages
)
select p.plan, t.image_id, t.kind, t.standing, coalesce(e.rule, if(f.image_id is null, null, 'ingest')) as rule
from plans as p
cross join truth as t
left join exclusions as e on e.image_id = t.image_id and e.plan = p.plan
left join failures as f on f.image_id = t.image_id and f.step = 'ingest'
