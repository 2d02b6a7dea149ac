-- One row per class: the value that a column of the catalogue (table values_by_image) has most often with it.
select i.label, mode(v.value order by v.value) as value
from values_by_image as v
join images as i using (image_id)
where i.label is not null and v.value is not null
group by i.label
order by i.label
