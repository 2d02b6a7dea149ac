-- One row per stage of one plan, in order.
select kind, name, settings, rows_in, rows_out
from stages
where plan = $plan
order by position
