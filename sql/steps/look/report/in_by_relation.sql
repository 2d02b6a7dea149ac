-- One row per training image that the last pass of a rule left in by its value (table judged), the closest to the threshold first.
with limits as (
    select any_value(threshold) as threshold from hits
)
select
    i.image_id, i.content_id, i.path, i.label, j.value, limits.threshold, limits.threshold - j.value as margin
from judged as j
join state as s on s.image_id = j.image_id and s.rule is null and s.split = 'train'
join images as i on i.image_id = j.image_id, limits
where j.value <= limits.threshold
order by margin, i.image_id
limit $most
