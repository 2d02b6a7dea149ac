-- One row per content a split stage has placed before, under the plan's present seed.
select content_id, split, share
from data.assignments
where plan = $plan and stage = $stage and seed = $seed::bigint
