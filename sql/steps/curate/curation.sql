-- One row per ready image: out, by which rule, or in, in which split.
select
    $plan as plan, image_id, rule, pass, value, threshold,
    case when rule is null then split end as split
from state
order by image_id
