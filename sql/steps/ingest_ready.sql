-- One row per image the store should have: the catalogue's readable rows, and those gone from it unless they are pruned.
with facts as (
    select * exclude (mtime_ns, decoding, examined_at)
    from data.files
    anti join reasons using (path)
    qualify row_number() over (partition by path order by examined_at desc) = 1
),
readable as (
    select * from listed join facts using (path)
)
select * from readable
union all by name
select *
from images
where image_id not in (select image_id from listed) and not (select prune from options)
