-- One row per row of the catalogue as the store should have it: a digest of all its columns, those it had before among them,
-- and whether it has a picture.
select image_id, unhex(sha256(json_array(*columns(*)))) as content, true as is_ready
from (select * from ready union all by name select * from stored where false)
union all
select image_id, unhex(sha256(json_array(*columns(*)))), false
from (select * from failed union all by name select * from failures where false)
