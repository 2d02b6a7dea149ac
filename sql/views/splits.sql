-- One row per plan and image that is in.
select c.plan, c.image_id, c.split
from data.curation as c
semi join data.images as i using (image_id)
where c.rule is null
