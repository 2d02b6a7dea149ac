-- One row per failure of ingest the store should have: the catalogue's unreadable rows with their reason, and those gone
-- from it, unless they are pruned or have another id now.
with unreadable as (
    select l.* exclude (label), 'ingest' as step, '' as name, r.reason
    from listed_for_failures as l
    join reasons as r on r.path is not distinct from l.path
)
select * from unreadable
union all by name
select *
from failures
anti join listed using (image_id)
anti join moved using (image_id)
where step = 'ingest' and not (select prune from options)
