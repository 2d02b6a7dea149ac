-- One row: the time now, or one after that of every verdict given before, as a clock may have been ahead.
select greatest(now(), max(created_at) + interval 1 microsecond) as moment from data.verdicts
