-- One row per vector of a view that its feature set does not have: 0 is the picture as it is, 1 to the set's number are augmented.
select e.embedder, e.content_id, e.view, coalesce((f.settings->>'views')::int, 0) as views
from data.embeddings as e
join feature_sets as f using (embedder)
where e.view is null or e.view not between 0 and coalesce((f.settings->>'views')::int, 0)
