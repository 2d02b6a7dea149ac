-- One row per column a head depends on: a digest over the labelled rows of some splits of a plan.
with rows_read as (
    select i.image_id, i.content_id, i.label, s.split
    from images as i
    join splits as s using (image_id)
    where s.plan = $plan and list_contains($splits, s.split) and i.label is not null
)
select name, count(*) || ':' || bit_xor(md5_number(image_id || chr(31) || value)) as digest
from (unpivot rows_read on content_id, label, split)
group by name
order by name
