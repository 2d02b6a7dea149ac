-- One row per path examined under the decoding rules in force: the facts found last.
select *
from data.files
where decoding = $decoding
qualify row_number() over (partition by path order by examined_at desc) = 1
