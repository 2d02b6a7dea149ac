-- One row per row of the store whose own id is not in the catalogue, and whose picture has come to another id there: by its
-- path, or else by its content.
with now as (
    select l.image_id, l.path, f.content_id
    from listed as l
    left join (select path, content_id from files anti join reasons using (path)) as f using (path)
),
gone as (
    select image_id, path, content_id from stored anti join listed using (image_id)
    union all
    select image_id, path, null from failures anti join listed using (image_id) where step = 'ingest'
),
by_path as (
    select path, min(image_id) as image_id from now anti join stored using (image_id, path) group by path
),
by_content as (
    select content_id, min(image_id) as image_id from now anti join stored using (image_id, content_id) group by content_id
)
select g.image_id, coalesce(p.image_id, c.image_id) as new_id
from gone as g
left join by_path as p using (path)
left join by_content as c using (content_id)
where coalesce(p.image_id, c.image_id) is not null
