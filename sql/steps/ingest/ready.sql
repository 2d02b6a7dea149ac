-- One row per image the store should have: the catalogue's readable rows, and those gone from it, unless they are pruned or
-- have another id now.
with readable as (
    select * from listed
    join (select * exclude (mtime_ns, decoding, examined_at) from files anti join reasons using (path)) using (path)
)
select * from readable
union all by name
select *
from stored
anti join listed using (image_id)
anti join moved using (image_id)
where not (select prune from options)
