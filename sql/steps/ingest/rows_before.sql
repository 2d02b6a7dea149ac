-- One row per row of the catalogue as the store has it: a hash of the columns it should have.
select image_id, hash(c) as content
from (select * from catalogue_now where false union all by name select * from catalogue_before) as c
