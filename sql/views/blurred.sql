-- One row per image whose facts are known, the least sharp first.
select row_number() over (order by f.sharpness, i.image_id) as rank, i.image_id, i.path, i.label, f.sharpness
from images as i
join facts as f using (content_id)
order by rank
