-- One row of a fine-tuned run: what it began with, and its figures on the validation rows as it began and as it was kept.
select finetuned_from, helped, val_accuracy_before, val_accuracy_after, val_loss_before, val_loss_after
from data.runs
where run_id = $run_id
