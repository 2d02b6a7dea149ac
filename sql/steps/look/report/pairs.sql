-- One row per pair of labels that an evaluation confuses, the most frequent first, with the image it was surest about.
select
    p.label, p.predicted, count(*) as images, arg_max(i.content_id, p.probability) as content_id,
    arg_max(i.image_id, p.probability) as image_id, max(p.probability) as probability
from predictions as p
join images as i using (image_id)
where p.run_id = $run_id and p.evaluation = $evaluation and p.split = $split and p.label <> p.predicted
group by p.label, p.predicted
order by images desc, probability desc, p.label, p.predicted
limit $most
