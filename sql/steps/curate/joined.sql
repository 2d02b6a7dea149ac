-- One row: how many images were left in train before and now join the rest of their unit in a split.
select count(*) as images
from carved as c
join units as u using (image_id)
join split_units as s on s.unit = u.unit and s.is_held
join candidates as i using (image_id)
join assigned as a on a.content_id = i.content_id and a.split = 'train'
