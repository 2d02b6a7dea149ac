-- One row per run, the newest first, with its plain figures on test, or else on the first of its splits by name.
with plain as (
    select run_id, split, rows, accuracy, accuracy_low, accuracy_high, f1_macro
    from data.evaluations
    where evaluation = 'plain'
    qualify row_number() over (partition by run_id order by split <> 'test', split) = 1
)
select
    r.run_id, r.name, r.kind, r.head, r.embedder, r.plan, r.created_at, r.train_rows, r.history,
    p.split, p.rows, p.accuracy, p.accuracy_low, p.accuracy_high, p.f1_macro
from runs as r
left join plain as p using (run_id)
order by r.created_at desc, r.run_id
