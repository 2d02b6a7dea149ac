-- One row per score that is missing or not finite.
select image_id, scorer, value
from scores
where value is null or not isfinite(value)
