-- One row per image lonelier than the percentile of all images: far from its nearest neighbours of any class.
-- Settings: percentile (99), one pass each.
-- setting percentile: Of the scores of all images; one above it is out.
with scored as (
    select c.image_id, s.value
    from candidates as c
    join scores as s using (image_id)
    where s.scorer = 'knn'
),
limits as (
    select quantile_cont(value, coalesce($percentile::double, 99) / 100) as threshold
    from scored
)
select scored.image_id, scored.value, limits.threshold
from scored, limits
where scored.value > limits.threshold
