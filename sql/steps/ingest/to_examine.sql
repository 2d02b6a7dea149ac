-- One row per file found that was never examined under decoding rules that hold, has another size or mtime since, has more
-- pixels than may be decoded now, or in which a later step found other content.
select path
from (
    select f.path
    from found as f
    anti join files as k
        on k.path = f.path and k.bytes = f.bytes and k.mtime_ns = f.mtime_ns
        and k.decoding in (select unnest($decoding::integer[])) and k.width::bigint * k.height <= $max_pixels
    union
    select f.path
    from found as f
    semi join (select path from failures where step != 'ingest' and reason = $changed) as c on c.path = f.path
)
order by path
