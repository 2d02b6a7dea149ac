-- One row per content asked for (table wanted): the image that a plan keeps which is its original by the view copies, or else the one
-- whose perceptual hash is the nearest.
with outs as (
    select i.image_id, i.content_id, try_cast('0x' || i.phash as ubigint) as hash
    from images as i
    semi join wanted using (content_id)
),
kept as (
    select i.image_id, i.content_id, i.path, i.label, try_cast('0x' || i.phash as ubigint) as hash
    from images as i
    join splits as s on s.image_id = i.image_id and s.plan = $plan
),
pairs as (
    select
        o.content_id, k.image_id, k.content_id as like_id, k.path, k.label,
        if(c.image_id is null, bit_count(xor(o.hash, k.hash)), -1) as distance
    from outs as o
    join kept as k on o.image_id <> k.image_id
    left join copies as c on c.image_id = o.image_id and c.original_id = k.image_id
)
select content_id, image_id, like_id, path, label
from pairs
where distance is not null
qualify row_number() over (partition by content_id order by distance, image_id) = 1
order by content_id
