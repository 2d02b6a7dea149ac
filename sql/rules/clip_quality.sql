-- One row per image closer to the bad prompts than to the good ones. Settings: threshold (0).
-- setting threshold: An image below it is out.
select c.image_id, s.value, coalesce($threshold::double, 0) as threshold
from candidates as c
join scores as s using (image_id)
where s.scorer = 'clip-quality' and s.value < coalesce($threshold::double, 0)
