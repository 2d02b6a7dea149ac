-- One row: how the catalogue as it should be differs from the one the store has.
with counts as (
    select
        count(*) filter (b.image_id is null) as added,
        count(*) filter (b.content <> n.content or b.is_ready <> n.is_ready) as updated,
        count(*) filter (n.is_ready) as ready,
        count(*) filter (not n.is_ready) as failed
    from rows_now as n
    left join rows_before as b using (image_id)
)
select
    added, updated,
    ready + failed - added - updated - if((select prune from options), 0, gone) as unchanged,
    gone, ready, failed
from counts, (select count(*) as gone from rows_before anti join listed using (image_id) anti join moved using (image_id))
