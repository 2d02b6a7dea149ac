-- One row per split of a plan.
select split, count(*) as images from splits where plan = $plan group by split order by split
