-- One row per column asked for: a digest that changes when the value of any image does, rows in any order.
select name, (count(*) || ':' || bit_xor(md5_number(image_id || chr(31) || value))) as digest
from (
    unpivot (select image_id, columns(lambda c: list_contains($columns, c))::varchar from images)
    on columns(* exclude (image_id))
)
group by name
order by name
