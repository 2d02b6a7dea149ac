-- One row per feature set: the network, and all that went into its vectors.
select embedder, network, dimensions, digest, settings, created_at
from data.feature_sets
