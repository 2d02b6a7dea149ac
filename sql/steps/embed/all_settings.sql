-- One row per feature set with all that went into its vectors, by name.
select embedder, settings from feature_sets order by embedder
