-- One row per image of a content that has failed now (table failed_now), by id.
select *
from images
semi join failed_now using (content_id)
order by image_id
