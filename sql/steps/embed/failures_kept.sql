-- One row per failure of one set whose image is still there and whose content was not tried again.
select f.*
from failures as f
join images as i using (image_id)
where f.step = 'embed' and f.name = $embedder
    and i.content_id not in (select content_id from tried)
order by f.image_id
