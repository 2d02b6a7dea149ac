-- One row per run, evaluation and split, with its metrics.
select *
from data.evaluations
