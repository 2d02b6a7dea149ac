-- One row per split of a plan, the largest first.
select split, count(*) as images
from splits
where plan = $plan
group by split
order by images desc, split
