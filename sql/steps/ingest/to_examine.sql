-- One row per file found that was never examined under decoding rules that hold, has another size or mtime since, or has
-- more pixels than may be decoded now.
select f.path
from found as f
anti join files as k
    on k.path = f.path and k.bytes = f.bytes and k.mtime_ns = f.mtime_ns
    and k.decoding in (select unnest($decoding::integer[])) and k.width::bigint * k.height <= $max_pixels
order by f.path
