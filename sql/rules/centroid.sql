-- One row per image farther from the centroid of its class than the percentile of all training distances.
-- Settings: percentile (95), one pass each; apply_to ('train' removes training rows only, 'all' any row);
-- embedder; leave_one_out (off). Centroids come from training rows, anew in each pass.
-- setting percentile: Of the distances of training images; an image farther away is out.
-- setting apply_to (train | all): Which rows it may take out.
with limits as (
    select quantile_cont(distance, coalesce($percentile::double, 95) / 100) as threshold
    from centroid_distances
    where split = 'train'
)
select d.image_id, d.distance as value, limits.threshold
from centroid_distances as d, limits
where d.distance > limits.threshold
    and (d.split = 'train' or coalesce($apply_to, 'train') = 'all')
