-- One row per run, evaluation, split, true label and predicted label that occur together.
select run_id, evaluation, split, label, predicted, count(*) as images
from predictions
group by all
