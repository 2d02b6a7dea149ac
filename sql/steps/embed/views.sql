-- One row per augmented view that a feature set has vectors of.
select distinct view
from data.embeddings
where embedder = $embedder and view > 0
order by view
