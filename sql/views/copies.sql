-- One row per image and original that it copies: the first image of equal bytes (exact), and the best picture of those found to
-- show the same (near, cropped, rotated, mirrored): most pixels, then the first by id. Correlation, overlap and inliers are
-- NULL for exact copies, and where an image is tied to the best picture through other copies alone.
with pictures as (
    -- without columns of the user's, which may have any name
    select image_id, content_id, width::bigint * height as pixels from data.images
),
firsts as (
    select content_id, min(image_id) as image_id, max(pixels) as pixels
    from pictures
    group by content_id
),
members as (
    select group_id, content_id from data.copies
    union
    select group_id, other_id from data.copies
),
best as (
    select m.group_id, f.content_id, f.image_id
    from members as m
    join firsts as f using (content_id)
    qualify row_number() over (partition by m.group_id order by f.pixels desc, f.image_id) = 1
)
select i.image_id, f.image_id as original_id, 'exact' as kind,
    null::double as correlation, null::double as overlap, null::integer as inliers
from pictures as i
join firsts as f using (content_id)
where i.image_id <> f.image_id
union all
select i.image_id, b.image_id, coalesce(p.kind, 'near'), p.correlation, p.overlap, p.inliers
from pictures as i
join members as m using (content_id)
join best as b using (group_id)
left join data.copies as p
    on p.content_id = least(i.content_id, b.content_id) and p.other_id = greatest(i.content_id, b.content_id)
where i.content_id <> b.content_id
