-- One row per failure of one set whose image is still there and whose content was not tried again.
select f.*
from failures as f
join images as i using (image_id)
anti join tried as t on t.content_id = i.content_id
where f.step = 'embed' and f.name = $embedder
order by f.image_id
