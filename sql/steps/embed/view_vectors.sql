-- One row per content with its vector of one view in a feature set, in any order.
select content_id, vector
from data.embeddings
where embedder = $embedder and view = $view
