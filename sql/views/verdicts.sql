-- One row per image with a standing verdict; stale when its bytes have changed since the person looked.
with latest as (
    select *
    from data.verdicts
    qualify row_number() over (partition by image_id order by created_at desc) = 1
)
select v.image_id, v.verdict, v.why, v.created_at, v.content_id is distinct from i.content_id as is_stale
from latest as v
join data.images as i using (image_id)
where v.verdict <> 'unset'
