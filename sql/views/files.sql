-- One row per file examined: what it is, as found last, and under which decoding rules.
select *
from data.files
qualify row_number() over (partition by path order by examined_at desc) = 1
