-- One digest over the standing verdicts.
select count(*) || ':' || coalesce(bit_xor(md5_number(image_id || chr(31) || verdict)), 0) as digest
from verdicts
