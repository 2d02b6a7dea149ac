-- One row per content that an embed of a set has failed on.
select distinct i.content_id
from failures as f
join images as i using (image_id)
where f.step = 'embed' and f.name = $embedder
