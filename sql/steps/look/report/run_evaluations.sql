-- One row per evaluation that 'coldframe evaluate' made, of the newest run of each name, in the order the runs were made.
with newest as (
    select * from runs qualify row_number() over (partition by name order by created_at desc, run_id) = 1
)
select r.run_id, r.name, r.created_at, e.evaluation, e.split
from newest as r
left join evaluations as e
    on e.run_id = r.run_id and not starts_with(e.evaluation, 'folds:') and not starts_with(e.evaluation, 'export:')
order by r.created_at, r.run_id, e.split, e.evaluation
