-- One row per content with its vector in one feature set, in any order: no join, which might hold all vectors at once.
select content_id, vector
from data.embeddings
where embedder = $embedder and view = 0
