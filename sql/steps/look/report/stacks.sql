-- One row per copy of the groups to show, near copies before identical files and larger groups first, with its original.
with groups as (
    select
        original_id, count(distinct image_id) as images, count(*) filter (kind <> 'exact') as near,
        count(*) over () as of_all
    from copies
    group by original_id
    order by near > 0 desc, images desc, original_id
    limit $most
)
select
    g.original_id, g.of_all, o.content_id as original_content, o.label as original_label, o.path as original_path,
    c.image_id, i.content_id, i.label, i.path, c.kind, c.correlation
from groups as g
join copies as c using (original_id)
join images as i on i.image_id = c.image_id
join images as o on o.image_id = g.original_id
order by g.near > 0 desc, g.images desc, g.original_id, c.kind = 'exact', c.correlation desc nulls last, c.image_id
