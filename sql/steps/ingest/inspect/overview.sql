-- One row: totals, and the imbalance of the classes (largest over smallest).
with classes as (
    select label, count(*) as images from images where label is not null group by label
)
select
    (select count(*) from images) as images,
    (select count(*) from failures where step = 'ingest') as failed,
    (select count(*) from images where label is null) as unlabelled,
    count(*) as classes,
    max(images) as largest_class,
    median(images) as median_class,
    min(images) as smallest_class,
    round(max(images) / min(images), 1) as imbalance,
    (select count(distinct image_id) from copies) as copies,
    (select count(*) from images where is_grey) as grey,
    (select round(sum(bytes) / 1e6, 1) from images) as megabytes
from classes
