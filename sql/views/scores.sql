-- One row per image and scorer; a score of bytes that have changed since is not shown.
select s.image_id, s.scorer, s.value, s.suggested, s.evidence
from data.scores as s
join data.images as i using (image_id, content_id)
