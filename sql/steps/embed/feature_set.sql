-- The feature set of a name, if it exists.
select * from feature_sets where embedder = $embedder
