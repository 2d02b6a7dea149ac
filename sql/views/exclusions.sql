-- One row per plan and image that is out, with the rule that took it out.
select c.plan, c.image_id, c.rule, c.pass, c.value, c.threshold
from data.curation as c
semi join data.images as i using (image_id)
where c.rule is not null
