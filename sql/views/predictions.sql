-- One row per run, evaluation and image; rank is the place of the true label among the classes, 1 the best.
select run_id, evaluation, image_id, split, label, predicted, probability, label_probability, rank
from data.predictions
