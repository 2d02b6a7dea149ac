-- One row per run, the newest first, with its figures of one evaluation on one split where it has them.
select
    r.run_id, r.created_at, r.name, r.head, r.embedder, r.features_digest, r.plan, r.seed, r.views, r.train_rows,
    e.rows, e.classes as f1_classes, e.accuracy, e.accuracy_low, e.accuracy_high, e.f1_macro, e.f1_macro_low, e.f1_macro_high,
    e.top5, e.loss, e.calibration_error, e.rows_trained_on, e.rows_selected_on, r.settings_chosen_on, r.epochs, r.parameters,
    r.seconds
from runs as r
left join evaluations as e on e.run_id = r.run_id and e.split = $split and e.evaluation = $evaluation
order by r.created_at desc, r.run_id
