-- One row per image that copies another: equal bytes (exact). The original is the first of them by id.
with originals as (
    select image_id, content_id, min(image_id) over (partition by content_id) as original_id
    from data.images
)
select image_id, original_id, 'exact' as kind
from originals
where image_id <> original_id
