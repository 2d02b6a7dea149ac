-- One row per rule of a plan that took nothing out, in order.
select name
from stages
where plan = $plan and kind = 'rule' and name not in (select rule from exclusions where plan = $plan)
order by position
