-- One row per row of the catalogue as the store should have it: a digest of all its columns, and whether it has a picture.
-- A column of the user's may have any name, so none of these may be taken for the row itself.
select image_id, unhex(sha256(json_array(*columns(*)))) as content, content_id is not null as is_ready from catalogue_now
