-- One row per image that an evaluation got wrong, the surest first.
select
    i.image_id, i.content_id, i.path, p.label, p.predicted, p.probability, p.label_probability, p.rank,
    count(*) over () as of_all
from predictions as p
join images as i using (image_id)
where p.run_id = $run_id and p.evaluation = $evaluation and p.split = $split and p.label <> p.predicted
order by p.probability desc, i.image_id
limit $most
