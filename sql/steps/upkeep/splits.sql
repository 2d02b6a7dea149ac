-- One row per plan and split, or rule that took images out.
select plan, split as part, count(*) as images, 'in' as state
from splits
group by plan, split
union all
select plan, rule, count(*), 'out'
from exclusions
group by plan, rule
order by plan, state, part
