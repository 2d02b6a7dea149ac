-- One row per content and view with a vector in one set, but for contents that look different now (table redrawn).
select content_id, embedder, view, vector
from data.embeddings
where embedder = $embedder and content_id not in (select content_id from redrawn)
