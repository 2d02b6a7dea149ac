-- One row per plan and content whose images stand in different splits.
select s.plan, i.content_id, list(distinct s.split) as splits
from splits as s
join images as i using (image_id)
group by s.plan, i.content_id
having count(distinct s.split) > 1
