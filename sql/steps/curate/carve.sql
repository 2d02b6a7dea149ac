-- One row per image of the units that go into a split: those that have been there before, then per class as many
-- newcomers as its quota lacks, in the order of md5(seed:unit).
with newcomers as (
    select unit, label, row_number() over (
        partition by label order by md5($seed::bigint || ':' || unit), unit
    ) as place
    from split_units
    where not is_held and not is_settled
),
chosen as (
    select unit from split_units where is_held
    union all
    select n.unit from newcomers as n join split_quotas as q using (label) where n.place <= q.quota - q.held
)
select u.image_id
from units as u
semi join chosen using (unit)
