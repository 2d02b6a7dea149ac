-- One row per file of an image the store should have: the facts found last.
select *
from data.files
semi join ready using (path)
qualify row_number() over (partition by path order by examined_at desc) = 1
order by path
