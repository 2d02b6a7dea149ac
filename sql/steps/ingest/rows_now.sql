-- One row per row of the catalogue as the store should have it: a hash of all its columns, and whether it has a picture.
select image_id, hash(c) as content, content_id is not null as is_ready from catalogue_now as c
