-- One row per content a split stage has placed, now or earlier: rows that are out at the moment keep their place.
with present as (
    select content_id, if(bool_or(image_id in (select image_id from carved)), $stage, 'train') as split
    from candidates
    where split = 'train'
    group by content_id
)
select
    $plan as plan, $stage as stage, $seed::bigint as seed,
    if(p.content_id is null, a.share, $share::double) as share,
    coalesce(p.content_id, a.content_id) as content_id,
    coalesce(p.split, a.split) as split
from present as p
full join assigned as a on a.content_id = p.content_id
