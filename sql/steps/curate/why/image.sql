-- The row of one image.
select * from images where image_id = $image_id
