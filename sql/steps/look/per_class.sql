-- One row per class that occurs in an evaluation of a run on a split, by name.
select label, images, precision, recall, f1
from per_class
where run_id = $run_id and evaluation = $evaluation and split = $split
order by label
