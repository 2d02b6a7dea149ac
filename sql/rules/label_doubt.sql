-- One row per training image whose label the training images most like it contradict. A label that a person gave stays.
-- setting deviations (0 to 1000): How far above the median doubt is out, in standard deviations as estimated from the median deviation.
with limits as (
    -- a deviation is at least 1, that of the similarity to the nearest classmate: where nearly all images have classmates that
    -- are as good as equal, their doubts hardly differ, and say nothing about the rest
    select median(doubt) + coalesce($deviations::double, 2) * greatest(1.4826 * mad(doubt), 1) as threshold
    from label_doubt
)
select d.image_id, d.doubt as value, limits.threshold
from label_doubt as d
anti join corrections using (content_id)
cross join limits
where d.doubt > limits.threshold
