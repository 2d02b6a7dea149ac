-- One row per training image that the last pass of a rule over centroid_distances left in, the closest to the threshold first.
with limits as (
    select any_value(threshold) as threshold from hits
)
select
    i.image_id, i.content_id, i.path, i.label, r.distance as value, limits.threshold, limits.threshold - r.distance as margin
from centroid_distances as r
join images as i using (image_id), limits
where r.split = 'train' and r.image_id not in (select image_id from hits) and r.distance <= limits.threshold
order by margin, i.image_id
limit $most
