-- One row per class still in train: how many of its units a split should have, by largest remainder, and how many it has.
-- A class keeps a unit in train if it has two.
with classes as (
    select
        label,
        count(*) as units,
        count(*) filter (is_held) as held,
        $share::decimal(9, 6) * count(*) as exact
    from split_units
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
ranked as (
    -- the seats left go to the largest remainders, among classes that can spare a unit
    select label, held, quota, quota < units - 1 as can_spare, row_number() over (
        order by (quota < units - 1) desc, remainder desc, md5($seed::bigint || ':' || label)
    ) as place
    from floors
)
select label, held, quota + (can_spare and place <= seats)::bigint as quota
from ranked, leftover
