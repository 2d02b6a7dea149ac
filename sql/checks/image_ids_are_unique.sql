-- One row per id that stands for more than one row of the catalogue.
select image_id, count(*) as rows
from (
    select image_id from images
    union all
    select image_id from failures where step = 'ingest'
)
group by image_id
having count(*) > 1
