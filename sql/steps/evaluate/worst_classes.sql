-- One row per class and evaluation of a run on a split, the worst first.
select evaluation, label, images, precision, recall, f1
from per_class
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation)
order by evaluation desc, f1, label
