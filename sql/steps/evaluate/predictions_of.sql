-- One row per image that a run predicted in one evaluation on one split, by id.
select image_id, label, predicted
from predictions
where run_id = $run_id and evaluation = $evaluation and split = $split
order by image_id
