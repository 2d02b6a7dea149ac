-- One row per content that an image of the store has and that has a vector in one view of a feature set, by id.
select distinct e.content_id
from data.embeddings as e
semi join data.images as i using (content_id)
where e.embedder = $embedder and e.view = $view
order by e.content_id
