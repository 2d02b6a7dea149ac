-- One row per unit still in train: the class it counts for, and whether a split has placed it before.
with members as (
    select
        u.unit, coalesce(c.label, '') as label, a.split as was_in, a.share as was_share,
        c.content_id in (select content_id from assigned_elsewhere) as is_elsewhere
    from candidates as c
    join units as u using (image_id)
    left join assigned as a using (content_id)
    where c.split = 'train'
),
unit_labels as (
    -- a unit of several labels counts for its majority label
    select unit, label
    from (select unit, label, count(*) as votes from members group by all)
    qualify row_number() over (partition by unit order by votes desc, label) = 1
),
unit_history as (
    select
        unit,
        -- in this split before
        bool_or(was_in is not null and was_in <> 'train') as is_held,
        -- left in train before, and nobody has asked for another share since; or in the split of another stage
        bool_or((was_in = 'train' and was_share = $share::double) or is_elsewhere) as is_settled
    from members
    group by unit
)
select l.unit, l.label, coalesce(h.is_held, false) as is_held, coalesce(h.is_settled, false) as is_settled
from unit_labels as l
join unit_history as h using (unit)
