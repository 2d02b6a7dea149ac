-- One row per labelled image the default plan keeps, feature set and augmented view.
select k.image_id, k.label, k.split, e.embedder, e.view, e.vector
from kept as k
join embeddings as e using (image_id)
where k.label is not null
