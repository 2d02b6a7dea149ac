-- One row per verdict that was given, the latest first, and whether a later one on the same image took its place.
select image_id, content_id, verdict, label, why, created_at, lead(created_at) over (
    partition by image_id order by created_at
) is null as is_latest
from data.verdicts
order by created_at desc
limit $count
