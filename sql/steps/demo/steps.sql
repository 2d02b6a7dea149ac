-- One row per step as it last finished, in the order they ran.
select step, name, rows_in, rows_out, seconds
from steps
order by created_at
