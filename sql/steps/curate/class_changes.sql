-- One row per class between two replays of a plan, and a last one for all: kept before, what goes, what comes back.
with changes as (
    select
        coalesce(i.label, '(no label)') as label,
        b.image_id is not null and b.rule is null as was_kept,
        a.rule is null as is_kept,
        a.split is distinct from b.split as has_moved
    from after as a
    join images as i using (image_id)
    left join before as b using (image_id)
)
select
    if(grouping(label) = 1, '(all)', label) as label,
    count(*) filter (was_kept) as kept_before,
    count(*) filter (was_kept and not is_kept) as goes,
    count(*) filter (is_kept and not was_kept) as comes_back,
    count(*) filter (was_kept and is_kept and has_moved) as changes_split,
    count(*) filter (is_kept) as kept_after
from changes
group by rollup (label)
order by grouping(changes.label), goes desc, label
