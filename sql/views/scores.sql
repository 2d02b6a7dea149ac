-- One row per image and scorer; a score of bytes, or of a label, that have changed since is not shown.
select s.image_id, s.scorer, s.value, s.suggested, s.evidence
from data.scores as s
join (select image_id, content_id, label from images) as i using (image_id, content_id)
where s.label is null or s.label is not distinct from i.label
