-- One row per image that a person keeps or drops, by the last that was said of it; stale when its bytes have changed since.
with latest as (
    select image_id, content_id, verdict, why, created_at
    from data.verdicts
    where verdict <> 'relabel'
    qualify row_number() over (partition by image_id order by created_at desc) = 1
)
select v.image_id, v.verdict, v.why, v.created_at, v.content_id is distinct from i.content_id as is_stale
from latest as v
join (select image_id, content_id from data.images) as i using (image_id)
where v.verdict <> 'unset'
