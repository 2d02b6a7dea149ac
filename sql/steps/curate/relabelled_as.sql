-- One row per standing correction that was given to one of some images by its id.
select image_id, content_id from corrections where list_contains($image_ids, image_id)
