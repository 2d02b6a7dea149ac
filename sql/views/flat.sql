-- One row per image whose facts are known, the flattest first.
select row_number() over (order by f.entropy, i.image_id) as rank, i.image_id, i.path, i.label, f.entropy
from images as i
join facts as f using (content_id)
order by rank
