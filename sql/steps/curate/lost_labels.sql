-- One row per standing correction that was given to one of some images by its id, and whose bytes no image has any more.
select image_id, content_id
from corrections
where list_contains($image_ids, image_id) and content_id not in (select content_id from data.images)
