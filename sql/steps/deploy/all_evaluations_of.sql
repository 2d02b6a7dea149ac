-- One row per evaluation and split that a run was evaluated on.
select
    evaluation, split, rows, classes, accuracy, accuracy_low, accuracy_high, top5, f1_macro, f1_macro_low, f1_macro_high, loss,
    calibration_error, rows_trained_on, rows_selected_on
from evaluations
where run_id = $run_id
order by evaluation, split
