-- How many contents could not be read when copies were looked for last.
select count(distinct i.content_id) as contents
from failures as f
join images as i using (image_id)
where f.step = 'copies'
