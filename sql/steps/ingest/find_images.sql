-- One row per image with the id, or else with the path, of a row of table named; every row of it at least once, in its order.
with ids as (
    select n.position, i.image_id from named as n join images as i on i.image_id = n.name
),
paths as (
    select n.position, i.image_id
    from named as n
    join images as i on i.path = n.name
    where n.position not in (select position from ids)
)
select n.position, n.name, f.image_id
from named as n
left join (from ids union all from paths) as f using (position)
order by n.position, f.image_id
