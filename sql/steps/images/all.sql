-- One row per image, by id.
select * from images order by image_id
