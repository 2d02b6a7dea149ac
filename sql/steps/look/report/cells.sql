-- One row per true and predicted label of an evaluation that occur together, the most frequent first.
select label, predicted, images
from confusion
where run_id = $run_id and evaluation = $evaluation and split = $split
order by images desc, label, predicted
