-- One row per image less sharp than the threshold. Settings: threshold, which has to be given.
-- setting threshold: Least sharpness of an image that stays; the view blurred shows the least sharp first.
select c.image_id, f.sharpness as value, $threshold::double as threshold
from candidates as c
join facts as f using (content_id)
where f.sharpness < $threshold::double
