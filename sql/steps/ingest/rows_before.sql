-- One row per row of the catalogue as the store has it: a digest of the columns it should have.
select image_id, unhex(sha256(json_array(*columns(*)))) as content
from (select * from catalogue_now where false union all by name select * from catalogue_before)
