-- One digest over all scores.
select count(*) || ':' || coalesce(bit_xor(md5_number(image_id || chr(31) || scorer || chr(31) || value)), 0) as digest
from scores
