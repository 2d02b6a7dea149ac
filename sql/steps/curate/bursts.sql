-- One row per image taken by one camera within so many seconds of another, with its burst: each picture is at most $seconds after
-- the one before it. Cameras of one model count as one where no serial number tells them apart.
with timed as (
    select i.image_id, f.taken_at, f.camera || ' ' || coalesce(f.camera_serial, '') as camera
    from images as i
    join facts as f using (content_id)
    where f.camera is not null and f.taken_at is not null
),
begun as (
    select
        *,
        coalesce(date_diff('microsecond', lag(taken_at) over by_time, taken_at) > $seconds::double * 1e6, true) as is_first
    from timed
    window by_time as (partition by camera order by taken_at, image_id)
)
select
    image_id,
    camera || ' '
    || max(taken_at) filter (is_first) over (partition by camera order by taken_at, image_id)::varchar as group_value
from begun
order by image_id
