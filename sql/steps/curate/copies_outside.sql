-- One row: how many images of a split have copies in other splits as a replay leaves them, the first of them, and a copy of it.
with members as (
    select original_id, image_id from copies
    union
    select original_id, original_id from copies
),
placed as (
    select m.original_id, m.image_id, s.split
    from members as m
    join state as s using (image_id)
    where s.rule is null
),
outside as (
    select original_id, min(image_id) as image_id, min_by(split, image_id) as split
    from placed
    where split <> $split
    group by original_id
)
select
    count(distinct p.image_id) as images,
    first(p.image_id order by p.image_id, o.image_id) as image_id,
    first(o.image_id order by p.image_id, o.image_id) as copy_id,
    first(o.split order by p.image_id, o.image_id) as copy_split
from placed as p
join outside as o using (original_id)
where p.split = $split
