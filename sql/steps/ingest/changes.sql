-- One row: how the catalogue as it should be differs from the one the store has.
with before as (
    select * from catalogue_before
    union all by name
    select * from catalogue_now where false
),
differing as (
    (select * from catalogue_now)
    except
    (from (select * from catalogue_now where false union all by name select * from before))
),
counts as (
    select
        (select count(*) from catalogue_now anti join catalogue_before using (image_id)) as added,
        (select count(*) from differing) as differing,
        (select count(*) from catalogue_now) as total,
        (select count(*) from catalogue_before anti join listed using (image_id)) as gone,
        (select count(*) from ready) as ready,
        (select count(*) from failed) as failed
)
select
    added,
    differing - added as updated,
    total - differing - if((select prune from options), 0, gone) as unchanged,
    gone, ready, failed
from counts
