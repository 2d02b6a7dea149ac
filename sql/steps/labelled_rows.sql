-- One row per labelled image that a plan keeps in one of some splits, by id.
select i.image_id, i.content_id, i.label, s.split
from images as i
join splits as s using (image_id)
where s.plan = $plan and list_contains($splits, s.split) and i.label is not null
order by i.image_id
