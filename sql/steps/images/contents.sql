-- One row per image, by id.
select image_id, content_id from images order by image_id
