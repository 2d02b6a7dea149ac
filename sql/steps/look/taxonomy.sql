-- One row per class and value of a column of the catalogue, the most frequent first.
select i.label, g.value as class_group, count(*) as images
from (select image_id, label from images where label is not null) as i
join (select image_id, value from groups_of_images) as g using (image_id)
group by all
order by i.label, images desc
