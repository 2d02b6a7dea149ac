-- One row per feature set that has augmented views.
select distinct embedder
from embeddings
where view > 0
order by embedder
