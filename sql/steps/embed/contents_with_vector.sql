-- One row per content with a vector of one view in a feature set.
select distinct content_id
from data.embeddings
where embedder = $embedder and view = $view
