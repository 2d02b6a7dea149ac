-- One row per column that evaluations of a run on a split have figures by.
select distinct "column"
from group_evaluations
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation)
order by "column"
