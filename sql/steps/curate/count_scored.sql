-- How many images the stages so far have left have a score.
select count(*) as images
from candidates
semi join (select image_id from scores where scorer = coalesce($scorer, scorer)) using (image_id)
