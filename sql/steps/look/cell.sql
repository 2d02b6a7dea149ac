-- One row per image of one class that an evaluation of a run on a split takes for another, the surest first.
select image_id, predicted, probability, label = predicted as is_right
from predictions
where run_id = $run_id and evaluation = $evaluation and split = $split and label = $label and predicted = $predicted
order by probability desc, image_id
