-- One digest over the near copies found, NULL where there are none.
select case when count(*) > 0 then
    count(*) || ':' || bit_xor(md5_number(concat_ws(chr(31), content_id, other_id, group_id, kind, correlation)))
end as digest
from data.copies
