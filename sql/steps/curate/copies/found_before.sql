-- One row per pair found before of which a content is missed now (table missed), if the images still have both; by ids.
select
    content_id, other_id, any_value(kind) as kind, any_value(correlation) as correlation, any_value(overlap) as overlap,
    any_value(inliers) as inliers
from data.copies
where (content_id in (from missed) or other_id in (from missed))
    and content_id in (select content_id from images) and other_id in (select content_id from images)
group by content_id, other_id
order by content_id, other_id
