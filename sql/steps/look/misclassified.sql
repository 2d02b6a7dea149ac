-- One row per image that an evaluation of a run on a split gets wrong, the surest error first.
select image_id, predicted, probability
from predictions
where run_id = $run_id and evaluation = $evaluation and split = $split and label <> predicted
order by probability desc, image_id
