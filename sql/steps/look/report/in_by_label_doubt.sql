-- One row per training image that the last pass of a rule over label_doubt left in, the closest to the threshold first.
with limits as (
    select any_value(threshold) as threshold from hits
)
select
    i.image_id, i.content_id, i.path, i.label, r.doubt as value, limits.threshold, limits.threshold - r.doubt as margin
from label_doubt as r
join images as i using (image_id), limits
where r.split = 'train' and r.image_id not in (select image_id from hits) and r.doubt <= limits.threshold
order by margin, i.image_id
limit $most
