-- One row: the time now, or one after all verdicts given and files examined before, as a clock may have been ahead.
select greatest(
    now(),
    (select max(created_at) from data.verdicts) + interval 1 microsecond,
    (select max(examined_at) from data.files) + interval 1 microsecond
) as moment
