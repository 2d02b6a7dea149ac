-- One row: the evaluation to show, of the newest run that was evaluated; the plain one on test first.
select
    e.run_id, r.name, r.head, r.embedder, r.plan, e.evaluation, e.split, e.rows, e.accuracy, e.accuracy_low, e.accuracy_high,
    e.f1_macro, e.rows_trained_on, e.rows_selected_on
from evaluations as e
join runs as r using (run_id)
where exists (
    from predictions as p where p.run_id = e.run_id and p.evaluation = e.evaluation and p.split = e.split
)
order by r.created_at desc, e.run_id, e.evaluation = 'plain' desc, e.split = 'test' desc, e.evaluation, e.split
limit 1
