-- One digest over the labels that persons gave.
select count(*) || ':' || coalesce(bit_xor(md5_number(content_id || chr(31) || label)), 0) as digest
from corrections
