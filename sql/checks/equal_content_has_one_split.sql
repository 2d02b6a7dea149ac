-- One row per plan and content whose images stand in different splits; not where a column of the catalogue says so.
select s.plan, i.content_id, list(distinct s.split) as splits
from splits as s
join images as i using (image_id)
group by s.plan, i.content_id
having count(distinct s.split) > 1
    and not exists (from given_splits as g where g.plan = s.plan and list_contains(list(s.split), g.split))
