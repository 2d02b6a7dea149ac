-- One row per image, feature set and augmented view (0: the image as it is).
select i.image_id, e.content_id, e.embedder, e.view, e.vector
from data.embeddings as e
join data.images as i using (content_id)
