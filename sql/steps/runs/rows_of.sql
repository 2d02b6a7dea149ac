-- One row per image asked for (table wanted_images) that is in the catalogue, by id.
select image_id, content_id, coalesce(label, '') as label, '' as split
from images
semi join wanted_images using (image_id)
order by image_id
