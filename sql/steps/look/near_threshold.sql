-- One row per image that a rule of a plan would take out by its score if the threshold were a little elsewhere, the nearest first:
-- rules that compare the score of their own name.
with thresholds as (
    select rule, any_value(threshold) as threshold, any_value(value < threshold) as takes_low
    from data.curation
    where plan = $plan and rule is not null and threshold is not null
    group by rule
),
spread as (
    select scorer, nullif(stddev(value), 0) as deviation
    from scores
    where isfinite(value)
    group by scorer
)
select s.image_id, t.rule, s.value, t.threshold, abs(s.value - t.threshold) / d.deviation as distance
from thresholds as t
join scores as s on s.scorer = t.rule
join spread as d on d.scorer = t.rule
join data.curation as c on c.image_id = s.image_id and c.plan = $plan and c.rule is null
where isfinite(s.value) and (s.value < t.threshold) <> t.takes_low
order by distance, s.image_id
limit $most
