-- One row per column a head depends on: a digest over the labelled rows of some splits of a plan.
with rows_read as (
    select image_id, content_id, label, split from labelled where plan = $plan and list_contains($splits, split)
)
select name, count(*) || ':' || bit_xor(md5_number(image_id || chr(31) || value)) as digest
from (unpivot rows_read on content_id, label, split)
group by name
order by name
