-- One row per ready image after a split: the units carved have moved out of train.
select s.* replace (if(c.image_id is null, s.split, $split) as split)
from state as s
left join carved as c using (image_id)
