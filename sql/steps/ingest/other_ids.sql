-- One row: how many rows that the store has are in the new catalogue under another id only (gone: their own id is not there;
-- swapped: their own id has another path), of how many in the store and in the catalogue, with an example.
with before as (
    select image_id, path, content_id from stored
    union all
    select image_id, path, null from failures where step = 'ingest'
),
now as (
    select l.image_id, l.path, f.content_id from listed as l left join files as f using (path)
),
fresh as (
    select * from now anti join before using (image_id)
),
gone as (
    select b.image_id, coalesce(p.image_id, c.image_id) as new_id
    from (select * from before anti join now using (image_id)) as b
    left join (select path, min(image_id) as image_id from fresh group by path) as p using (path)
    left join (select content_id, min(image_id) as image_id from fresh group by content_id) as c using (content_id)
    where coalesce(p.image_id, c.image_id) is not null
),
swapped as (
    select b.image_id, p.image_id as new_id
    from before as b
    join now as n on n.image_id = b.image_id and n.path <> b.path
    join (select path, min(image_id) as image_id from now group by path) as p on p.path = b.path
),
moved as (
    from gone
    union all
    from swapped
)
select
    (select count(*) from gone) as gone,
    (select count(*) from swapped) as swapped,
    least((select count(*) from before), (select count(*) from now)) as rows,
    (select min(image_id) from moved) as image_id,
    (select min_by(new_id, image_id) from moved) as new_id
