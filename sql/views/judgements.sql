-- One row per image that a person keeps or drops: the last that was said of its bytes, or else of other bytes that it had (stale).
select image_id, verdict, why, created_at, is_stale
from (
    select image_id, v.verdict, v.why, v.created_at, v.stands, v.content_id is distinct from i.content_id as is_stale
    from (select image_id, content_id from data.images) as i
    join last_verdicts as v using (image_id)
    where (v.content_id = i.content_id or not v.is_carried_on) and v.verdict <> 'unset' -- which withdraws, and says no more
    qualify row_number() over (partition by image_id order by is_stale, v.created_at desc) = 1
)
where stands
