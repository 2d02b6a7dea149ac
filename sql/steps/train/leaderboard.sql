-- One row per run, the newest first.
select
    run_id, head, embedder, plan, train_rows, val_rows, classes, epochs, seconds,
    test_rows, test_accuracy, test_f1_macro, test_loss
from runs
