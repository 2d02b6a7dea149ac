-- One row per evaluation of a run on a split.
select
    run_id, evaluation, split, rows, classes, accuracy, f1_micro, f1_macro, f1_weighted, loss, loss_capped,
    label_masked, label_unseen, rows_unmasked
from evaluations
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation)
order by evaluation desc
