-- One row per score of one image, with the share of images that score lower.
with own as (
    select scorer, value, suggested, evidence from scores where image_id = $image_id and value is not null
)
select own.scorer, own.value, avg((s.value < own.value)::double) as share_below, own.suggested, own.evidence
from own
join scores as s using (scorer)
group by all
order by own.scorer
