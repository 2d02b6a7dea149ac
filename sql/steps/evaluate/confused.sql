-- One row per pair of classes that a run confuses on a split, the most frequent first.
select evaluation, label, predicted, images
from confusion
where run_id = $run_id and split = $split and list_contains($evaluations, evaluation) and label <> predicted
order by images desc, evaluation desc, label, predicted
