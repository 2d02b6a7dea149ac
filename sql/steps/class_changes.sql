-- One row per class, between two replays of a plan: kept before, out by which change, kept after.
with totals as (
    select
        coalesce(i.label, '') as label,
        count(*) filter (b.rule is null and b.image_id is not null) as kept_before,
        count(*) filter (a.rule is null) as kept_after,
        count(*) filter (a.rule is not null and b.rule is null and b.image_id is not null) as goes,
        count(*) filter (a.rule is null and b.rule is not null) as comes_back,
        count(*) filter (a.rule is null and b.rule is null and a.split <> b.split) as changes_split
    from after as a
    join images as i using (image_id)
    left join before as b using (image_id)
    group by all
)
select label, kept_before, goes, comes_back, changes_split, kept_after
from totals
order by goes desc, label
