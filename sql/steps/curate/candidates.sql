-- One row per image the stages so far have left, with the split it stands in.
select i.*, s.split
from images as i
join state as s using (image_id)
where s.rule is null
