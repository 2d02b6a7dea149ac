-- One row per row of the catalogue as the store has it: a digest of the columns it should have, and whether it has a picture.
-- Images and failures apart: a column of the user's may be of one type here and of another there.
select image_id, unhex(sha256(json_array(*columns(*)))) as content, true as is_ready
from (select * from ready where false union all by name select * from stored)
union all
select image_id, unhex(sha256(json_array(*columns(*)))), false
from (select * from failed where false union all by name select * from failures where step = 'ingest')
