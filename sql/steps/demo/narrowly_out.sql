-- One row: the picture that the centroid rule of a plan took out by the smallest margin.
select image_id
from exclusions
where plan = $plan and rule = 'centroid'
order by value - threshold, image_id
limit 1
