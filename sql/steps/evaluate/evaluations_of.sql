-- One row per evaluation of a run on a split.
select
    run_id, evaluation, split, rows, classes, accuracy, accuracy_low, accuracy_high, top5, f1_micro, f1_macro, f1_macro_low,
    f1_macro_high, f1_weighted, loss, loss_capped, calibration_error, label_masked, label_unseen, rows_unmasked,
    rows_trained_on, rows_selected_on
from evaluations
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation)
order by evaluation desc
