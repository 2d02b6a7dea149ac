-- One row per trained run, the newest first, with its plain test metrics where it was evaluated.
select
    r.run_id, r.created_at, r.name, coalesce(r.kind, 'head') as kind, r.head, r.embedder,
    coalesce(r.embedders, [r.embedder]) as embedders, r.plan, r.seed, r.views, r.train_rows, r.val_rows, len(r.classes) as classes,
    r.epochs, r.parameters, r.seconds, r.settings_chosen_on,
    r.finetuned_from, r.helped, r.val_loss_before, r.val_loss_after, r.val_accuracy_before, r.val_accuracy_after,
    e.accuracy as test_accuracy, e.f1_macro as test_f1_macro, e.loss as test_loss, e.rows as test_rows,
    r.features_digest, r.settings, r.history, r.versions
from data.runs as r
left join data.evaluations as e
    on e.run_id = r.run_id and e.evaluation = 'plain' and e.split = 'test'
order by r.created_at desc, r.run_id
