-- One row per image darker than the threshold. Settings: threshold, which has to be given.
-- setting threshold (0 to 255): Least mean brightness, 0 to 255, of an image that stays; the view dark shows the darkest first.
select c.image_id, f.brightness as value, $threshold::double as threshold
from candidates as c
join facts as f using (content_id)
where f.brightness < $threshold::double
