-- One row: how many rows that the store has are in the new catalogue under another id only (gone: their own id is not there;
-- swapped: their own id has another path), of how many in the store and in the catalogue, with an example.
with before as (
    select image_id, path from stored
    union all
    select image_id, path from failures where step = 'ingest'
),
swapped as (
    select b.image_id, p.image_id as new_id
    from before as b
    join listed as n on n.image_id = b.image_id and n.path <> b.path
    join (select path, min(image_id) as image_id from listed group by path) as p on p.path = b.path
),
other as (
    from moved
    union all
    from swapped
)
select
    (select count(*) from moved) as gone,
    (select count(*) from swapped) as swapped,
    least((select count(*) from before), (select count(*) from listed)) as rows,
    (select min(image_id) from other) as image_id,
    (select min_by(new_id, image_id) from other) as new_id
