-- One row per prediction of one image, the newest run first.
select p.run_id, r.name, p.evaluation, p.split, p.label, p.predicted, p.probability, p.label_probability, p.rank
from predictions as p
join runs as r using (run_id)
where p.image_id = $image_id
order by r.created_at desc, p.evaluation
