-- One row: the time now, or one after that of every file examined before, as a clock may have been ahead.
select greatest(now(), max(examined_at) + interval 1 microsecond) as moment from data.files
