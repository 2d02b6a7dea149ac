-- One row per image to show, in an order that the seed shuffles: one of each class, then a second one, and so on. Training rows
-- of a plan, or all images where it has none.
with chosen as (
    select image_id from labelled where plan = $plan and split = 'train'
),
shown as (
    select image_id, content_id, path, label, md5($seed::varchar || '/' || content_id) as place
    from images
    where image_id in (from chosen) or not exists (from chosen)
)
select image_id, content_id, path, label
from shown
order by row_number() over (partition by label order by place, image_id), place, image_id
limit 100
