-- One row per file found that was never examined under these decoding rules, has another size or mtime since, or has
-- more pixels than may be decoded now.
with known as (
    select path, bytes, mtime_ns, width::bigint * height as pixels
    from data.files
    where decoding = $decoding
    qualify row_number() over (partition by path order by examined_at desc) = 1
)
select f.path
from found as f
anti join known as k on k.path = f.path and k.bytes = f.bytes and k.mtime_ns = f.mtime_ns and k.pixels <= $max_pixels
order by f.path
