-- One row per image with a standing verdict, and the label that a person gave it; stale when its bytes have changed since.
with judged as (
    select image_id, content_id, verdict, why, created_at
    from data.verdicts
    where verdict <> 'relabel'
    qualify row_number() over (partition by image_id order by created_at desc) = 1
),
relabelled as (
    select i.image_id, c.content_id, c.label, c.why, c.created_at
    from data.images as i
    join corrections as c using (content_id)
    union all
    -- one whose bytes have changed since has lost its label, and is said to be stale
    select i.image_id, c.content_id, c.label, c.why, c.created_at
    from data.images as i
    join corrections as c using (image_id)
    where c.content_id is distinct from i.content_id and i.content_id not in (select content_id from corrections)
)
select
    i.image_id,
    coalesce(v.verdict, 'relabel') as verdict,
    if(r.created_at > coalesce(v.created_at, '-infinity'), r.why, v.why) as why,
    greatest(r.created_at, v.created_at) as created_at,
    coalesce(v.content_id is distinct from i.content_id and v.verdict is not null, false)
    or coalesce(r.content_id is distinct from i.content_id and r.label is not null, false) as is_stale,
    r.label
from data.images as i
left join (from judged where verdict <> 'unset') as v using (image_id)
left join relabelled as r using (image_id)
where v.verdict is not null or r.label is not null
