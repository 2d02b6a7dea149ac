-- One row per run, evaluation, split and class that occurs among the labels: how well it is told apart.
with outcomes as (
    select run_id, evaluation, split, label, predicted, label = predicted as is_right from predictions
),
labels as (
    select run_id, evaluation, split, label, count(*) as images, count(*) filter (is_right) as hits
    from outcomes
    group by all
),
guesses as (
    select run_id, evaluation, split, predicted as label, count(*) as predictions
    from outcomes
    group by all
)
select
    l.run_id, l.evaluation, l.split, l.label, l.images,
    l.hits / nullif(g.predictions, 0) as precision,
    l.hits / l.images as recall,
    2 * l.hits / (l.images + coalesce(g.predictions, 0)) as f1
from labels as l
left join guesses as g using (run_id, evaluation, split, label)
