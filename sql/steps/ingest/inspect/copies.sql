-- One row per kind of copy, with how many of them carry another label than their original.
select c.kind, count(*) as copies, count(distinct c.original_id) as originals,
    count(*) filter (i.label is distinct from o.label) as with_another_label
from copies as c
join images as i on i.image_id = c.image_id
join images as o on o.image_id = c.original_id
group by c.kind
order by c.kind
