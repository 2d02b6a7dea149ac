-- One row per run, evaluation, split and value of a column of the catalogue, with its metrics.
select *
from data.group_evaluations
