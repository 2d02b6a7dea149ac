-- One row per feature set, by name, with the network that it was made by.
select embedder, network from data.feature_sets order by embedder
