-- One row per verdict on one image, oldest first.
select
    v.verdict, v.why, v.created_at,
    v.content_id is distinct from i.content_id as is_stale,
    v.created_at = max(v.created_at) over () as stands
from verdict_history as v
left join images as i using (image_id)
where v.image_id = $image_id
order by v.created_at
