-- One row per verdict that was given, the latest first, and whether a later one took its place: a label is replaced by a later
-- label of the same content, a keep or drop by a later one on the same image; unset takes back both.
select
    image_id, content_id, verdict, label, why, created_at,
    created_at = if(
        verdict = 'relabel',
        max(created_at) filter (verdict in ('relabel', 'unset')) over (partition by content_id),
        max(created_at) filter (verdict <> 'relabel') over (partition by image_id)
    ) as is_latest
from data.verdicts
order by created_at desc
limit $count
