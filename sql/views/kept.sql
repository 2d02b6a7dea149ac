-- One row per image the default plan keeps, with its split.
select i.*, s.split
from images as i
join splits as s using (image_id)
where s.plan = 'default'
