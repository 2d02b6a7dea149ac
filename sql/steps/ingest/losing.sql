-- One row: rows of the store, and those of them that pruning would remove and whose content no row of the catalogue has.
with before as (
    select image_id, content_id from stored
    union all
    select image_id, null from failures where step = 'ingest'
),
gone as (
    select * from before anti join listed using (image_id)
)
select
    (select count(*) from before) as before,
    count(*) filter (content_id is null or content_id not in (select content_id from ready)) as lost
from gone
