-- One row per image of the units that go into a split: per class by largest remainder, in the order of
-- md5(seed:unit), after the units that have been there before. A class keeps a unit in train if it has two.
with members as (
    select c.image_id, u.unit, coalesce(c.label, '') as label, a.split as was_in, a.share as was_share
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
        bool_or(was_in is not null and was_in <> 'train') as is_held,
        -- left in train before, and nobody has asked for another share since
        bool_or(was_in = 'train' and was_share = $share::double) as is_settled
    from members
    group by unit
),
units_by_class as (
    select l.unit, l.label, coalesce(h.is_held, false) as is_held, coalesce(h.is_settled, false) as is_settled
    from unit_labels as l
    join unit_history as h using (unit)
),
classes as (
    select
        label,
        count(*) as units,
        count(*) filter (is_held) as held,
        $share::decimal(9, 6) * count(*) as exact
    from units_by_class
    group by label
),
floors as (
    select label, units, held, exact - floor(exact) as remainder, least(floor(exact), units - 1)::bigint as quota
    from classes
),
leftover as (
    select round($share::decimal(9, 6) * sum(units))::bigint - sum(quota)::bigint as seats
    from floors
),
quotas as (
    -- the seats left go to the largest remainders, to classes that can spare a unit
    select label, held, quota + (row_number() over (
        order by (quota < units - 1) desc, remainder desc, md5($seed::bigint || ':' || label)
    ) <= seats and quota < units - 1)::bigint as quota
    from floors, leftover
),
newcomers as (
    select unit, label, row_number() over (
        partition by label order by md5($seed::bigint || ':' || unit), unit
    ) as place
    from units_by_class
    where not is_held and not is_settled
),
chosen as (
    select unit from units_by_class where is_held
    union all
    select n.unit from newcomers as n join quotas as q using (label) where n.place <= q.quota - q.held
)
select image_id
from members
semi join chosen using (unit)
