-- One row per verdict on one image, oldest first; given_for is an id that it had before.
with own as (
    select * from verdict_history where image_id = $image_id
)
select
    v.verdict, v.why, v.created_at,
    v.content_id is distinct from i.content_id as is_stale,
    -- a label and a keep or drop stand side by side; unset withdraws both
    v.created_at = coalesce(j.created_at, max(v.created_at) filter (v.verdict = 'unset') over ())
    or (v.verdict = 'relabel' and exists (
        from corrections as c where c.image_id = v.image_id and c.content_id = v.content_id and c.created_at = v.created_at
    )) as stands,
    v.label,
    nullif(v.given_for, $image_id) as given_for
from own as v
left join images as i on i.image_id = $image_id
left join judgements as j on j.image_id = $image_id
order by v.created_at
