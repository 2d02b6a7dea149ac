-- One row per step and thing it made, in the order they finished.
select step, name, created_at::timestamp(0) as finished, rows_in, rows_out, round(seconds, 1) as seconds
from steps
order by created_at
