-- One row per plan and group of copies whose images stand in several splits: the best picture of the group, where each is,
-- and whether one of these splits is the catalogue's own.
with members as (
    select original_id, image_id, kind from copies
    union all
    select distinct original_id, original_id, 'original' from copies
),
placed as (
    select s.plan, m.original_id, m.image_id, m.kind, s.split, g.split is not null as is_given
    from members as m
    join splits as s using (image_id)
    left join (select distinct plan, split from given_splits) as g on g.plan = s.plan and g.split = s.split
)
select
    plan, original_id,
    list(distinct kind order by kind) filter (kind <> 'original') as kinds,
    list(distinct split order by split) as splits,
    list(image_id || ' in ' || split order by image_id) as images,
    bool_or(is_given) as is_given
from placed
group by plan, original_id
having count(distinct split) > 1
