-- One row per image with less in it than the threshold, such as one of a single colour. Settings: threshold, which has to be given.
-- setting threshold (0 to 8): Least entropy of the brightness, 0 to 8 bits, of an image that stays; the view flat shows the flattest first.
select c.image_id, f.entropy as value, $threshold::double as threshold
from candidates as c
join facts as f using (content_id)
where f.entropy < $threshold::double
