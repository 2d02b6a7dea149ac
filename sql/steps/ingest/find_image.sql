-- One row per image with this id, or else with this path.
with matches as (
    select image_id, image_id = $name as is_id from images where image_id = $name or path = $name
)
select image_id
from matches
where is_id or not exists (select 1 from matches where is_id)
order by image_id
