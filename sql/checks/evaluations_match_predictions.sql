-- One row per evaluation whose accuracy is not that of its predictions.
select e.run_id, e.evaluation, e.split, e.accuracy, p.accuracy as accuracy_of_predictions
from evaluations as e
left join (
    select run_id, evaluation, split, count(*) as rows, avg((label = predicted)::double) as accuracy
    from predictions
    group by all
) as p using (run_id, evaluation, split)
where p.rows is distinct from e.rows or abs(e.accuracy - p.accuracy) > 1e-9
