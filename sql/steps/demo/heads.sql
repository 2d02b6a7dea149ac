-- One row per plan and name of a run, the newest under it: right answers on the test rows.
with newest as (
    select name, plan, arg_max(run_id, created_at) as run_id
    from runs
    group by name, plan
)
select n.name, n.plan, count(*) as rows, count(*) filter (p.predicted = p.label) as right
from newest as n
join predictions as p using (run_id)
where p.evaluation = 'plain' and p.split = 'test'
group by all
order by n.plan, "right" desc, n.name
