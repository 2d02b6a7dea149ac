-- One row per cell of the confusion matrix of an evaluation of a run on a split, the largest first.
select label, predicted, images
from confusion
where run_id = $run_id and evaluation = $evaluation and split = $split and label is not null and predicted is not null
order by images desc, label, predicted
