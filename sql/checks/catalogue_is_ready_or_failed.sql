-- One row where the rows of the last ingest are not all either an image or a failure.
with recorded as (
    select rows_in as catalogue, rows_out as ready from steps where step = 'ingest'
)
select
    r.catalogue,
    (select count(*) from images) as ready,
    (select count(*) from failures where step = 'ingest') as failed
from recorded as r
where r.catalogue <> (select count(*) from images) + (select count(*) from failures where step = 'ingest')
    or r.ready <> (select count(*) from images)
