-- One row per plan and labelled image that is in: what a head is trained and evaluated on.
select s.plan, i.image_id, i.content_id, i.label, s.split
from images as i
join splits as s using (image_id)
where i.label is not null
