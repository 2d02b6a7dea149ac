-- One row per image that a run's evaluation tells wrongly, the surest error first.
select image_id, predicted, probability, label_probability
from predictions
where run_id = $run_id and evaluation = $evaluation and label <> predicted
order by probability desc, image_id
