-- One row per content asked for (table wanted) that a feature set has a vector of, as the picture is.
select content_id, vector
from data.embeddings
semi join wanted using (content_id)
where embedder = $embedder and view = 0
order by content_id
