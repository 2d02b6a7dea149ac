-- One row per content that another split stage of the plan has placed out of train, under the plan's present seed.
select distinct content_id
from data.assignments
where plan = $plan and stage <> $stage and seed = $seed::bigint and split <> 'train' and list_contains($stages, stage)
