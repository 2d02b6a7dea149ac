-- One row per content that a split stage has placed and that is in now, as the last replay left it.
with placed as (
    select distinct i.content_id, s.split
    from splits as s
    join images as i using (image_id)
    where s.plan = $plan
)
select
    $plan as plan, $stage as stage, $seed::bigint as seed, $share::double as share, content_id,
    if(split = $stage, $stage, 'train') as split
from placed
where split in ($stage, 'train') or list_contains($later, split)
order by content_id
