-- One row per evaluation of a run on a split and value of a column it was grouped by.
select
    evaluation, "column", value, rows, classes, accuracy, accuracy_low, accuracy_high, top5, f1_macro, f1_macro_low, f1_macro_high,
    loss, calibration_error
from group_evaluations
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation)
order by evaluation desc, "column", value nulls last
