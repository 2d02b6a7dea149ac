-- One row per labelled image the default plan keeps, feature set and augmented view.
select l.image_id, l.label, l.split, e.embedder, e.view, e.vector
from labelled as l
join embeddings as e using (image_id)
where l.plan = 'default'
