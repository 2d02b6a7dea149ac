-- One row per unit that a split divides: how many of its images are in the split, one of them, and one left in train.
select
    count(c.image_id) as images, min(c.image_id) as image_id,
    min(u.image_id) filter (c.image_id is null) as in_train
from units as u
left join carved as c using (image_id)
group by u.unit
having count(c.image_id) > 0 and count(*) > count(c.image_id)
order by image_id
