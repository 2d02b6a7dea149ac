-- One row per vector that is stored twice.
select embedder, content_id, view, count(*) as vectors
from data.embeddings
group by embedder, content_id, view
having count(*) > 1
