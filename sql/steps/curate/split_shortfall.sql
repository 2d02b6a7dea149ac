-- One row: how many units a split lacks because those it could take have been placed elsewhere before.
with carved_units as (
    select s.label, count(*) as units
    from split_units as s
    semi join (select unit from units semi join carved using (image_id)) using (unit)
    group by s.label
)
select coalesce(sum(greatest(q.quota - coalesce(c.units, 0), 0)), 0)::bigint as units
from split_quotas as q
left join carved_units as c using (label)
