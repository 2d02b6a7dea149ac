-- One row per image the stages so far have left, with the split it is in; never with one that the catalogue names.
select i.*, s.split
from (select columns(lambda name: lower(name) <> 'split') from images) as i
join state as s using (image_id)
where s.rule is null
