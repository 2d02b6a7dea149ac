-- One row per evaluation and split of a run.
select evaluation, split, rows, accuracy, accuracy_low, accuracy_high, f1_macro
from data.evaluations
where run_id = $run_id
order by evaluation <> 'plain', evaluation, split <> 'test', split
