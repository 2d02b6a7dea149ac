-- One row per content that an image of the store has, with its vector in one feature set.
select e.content_id, e.vector
from data.embeddings as e
semi join data.images as i using (content_id)
where e.embedder = $embedder and e.view = 0
order by e.content_id
