-- One row per image that a plan keeps although its score is close to the threshold of the rule with the name of its scorer, the
-- closest first.
with limits as (
    select threshold
    from exclusions
    where plan = $plan and rule = $rule and threshold is not null
    order by pass desc
    limit 1
)
select
    i.image_id, i.content_id, i.path, i.label, s.value, limits.threshold, abs(s.value - limits.threshold) as margin
from scores as s
join splits as p on p.image_id = s.image_id and p.plan = $plan
join images as i on i.image_id = s.image_id, limits
where s.scorer = $rule
order by margin, i.image_id
limit $most
