-- One row per row of the truth, with what took it out of a plan: a rule, 'ingest' where its file gave no picture, NULL if kept.
select t.image_id, t.kind, coalesce(e.rule, if(f.image_id is null, null, 'ingest')) as rule
from truth as t
left join exclusions as e on e.image_id = t.image_id and e.plan = $plan
left join failures as f on f.image_id = t.image_id and f.step = 'ingest'
