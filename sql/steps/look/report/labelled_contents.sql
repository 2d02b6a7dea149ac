-- One row per labelled content that a plan keeps, or of all images where there is no such plan, with one of its labels.
-- Copies of another picture are left out: four pictures of a class should be four.
with kept as (
    select image_id from splits where plan = $plan
)
select content_id, min(label) as label
from images
where label is not null and (image_id in (from kept) or not exists (from kept))
    and image_id not in (select image_id from copies)
group by content_id
order by content_id
