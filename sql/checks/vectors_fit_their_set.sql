-- One row per vector of another length than its feature set, with a number that is not finite, or of an unknown set.
select e.embedder, e.content_id, len(e.vector) as length, f.dimensions
from data.embeddings as e
left join feature_sets as f using (embedder)
where f.dimensions is null
    or e.vector is null
    or len(e.vector) <> f.dimensions
    or not isfinite(list_sum(e.vector))
