-- One row per image with a standing verdict, and the label that a person gave it; stale when its bytes have changed since.
with said as (
    select image_id, content_id, max(created_at) as said_at
    from data.verdicts
    group by all
),
relabelled as (
    select image_id, label, why, created_at, is_stale
    from (
        select i.image_id, c.label, c.why, c.created_at, false as is_stale
        from data.images as i
        join corrections as c using (content_id)
        union all
        -- an image whose bytes have changed since has lost its label. Where another image has them, that holds until something is
        -- said of the bytes that it has now
        select i.image_id, c.label, c.why, c.created_at, true as is_stale
        from data.images as i
        join corrections as c on c.image_id = i.image_id and c.content_id is distinct from i.content_id
        left join said as s on s.image_id = i.image_id and s.content_id = i.content_id
        where c.content_id not in (select content_id from data.images) or (s.said_at > c.created_at) is not true
    )
    qualify row_number() over (partition by image_id order by is_stale, created_at desc) = 1
)
select
    image_id,
    coalesce(v.verdict, 'relabel') as verdict,
    if(r.created_at > coalesce(v.created_at, '-infinity'), r.why, v.why) as why,
    greatest(r.created_at, v.created_at) as created_at,
    coalesce(v.is_stale, false) or coalesce(r.is_stale, false) as is_stale,
    r.label
from judgements as v
full join relabelled as r using (image_id)
