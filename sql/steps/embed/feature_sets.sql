-- One row per feature set, by name.
select embedder, network, dimensions from feature_sets order by embedder
