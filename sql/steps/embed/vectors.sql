-- One row per content with its vector in one view of a feature set, in any order: no join, which might hold all vectors at once.
select content_id, vector
from data.embeddings
where embedder = $embedder and view = $view
