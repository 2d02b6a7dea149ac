-- One row per verdict that stands and applies to no image any more: its picture is gone, or it is not clear under which of
-- several ids it is now (count_images: how many have its bytes). A label goes with its bytes.
with latest as (
    select image_id, content_id, verdict, why, created_at
    from data.verdicts
    where verdict <> 'relabel'
    qualify row_number() over (partition by image_id order by created_at desc) = 1
),
pictures as (
    select image_id, content_id from data.images
),
decided as (
    -- of bytes that are there, the last word on each: a verdict in force, or one withdrawn
    select p.content_id, max(said.created_at) as created_at
    from pictures as p
    join (
        select image_id, created_at from judgements
        union all
        select image_id, created_at from latest
    ) as said using (image_id)
    group by p.content_id
)
select l.image_id, l.verdict, null::varchar as label, l.why, l.created_at, l.content_id,
    (select count(*) from pictures as p where p.content_id = l.content_id) as count_images
from latest as l
left join decided as d using (content_id)
where l.verdict <> 'unset'
    and l.image_id not in (select image_id from pictures)
    and (d.created_at is null or d.created_at < l.created_at)
union all
select image_id, 'relabel', label, why, created_at, content_id, 0
from corrections
where content_id not in (select content_id from pictures)
