-- One row per step and thing it made, as it last finished.
select step, name, created_at, seconds, rows_in, rows_out, settings, inputs
from data.steps
