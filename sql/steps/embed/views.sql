-- One row per view that images of the store have in one feature set, ascending.
select distinct e.view
from data.embeddings as e
semi join data.images as i using (content_id)
where e.embedder = $embedder
order by e.view
