-- One row per stage of a plan, in order, with its settings and the rows it got and left when last replayed.
select plan, position, kind, name, settings, rows_in, rows_out
from data.stages
order by plan, position
