-- One row per feature set: the network, and all that went into its vectors.
select embedder, network, dimensions, digest, settings, source, created_at
from data.feature_sets
