-- One row per verdict that stands and applies to no image any more: its picture is gone, or it is not clear under which of
-- several ids it is now (count_images: how many have its bytes). A label goes with its bytes; a verdict is not lost that applies
-- to the image again that it was given for.
with pictures as (
    select image_id, content_id from data.images
)
select v.image_id, v.verdict, null::varchar as label, v.why, v.created_at, v.content_id,
    (select count(*) from pictures as p where p.content_id = v.content_id) as count_images
from last_verdicts as v
anti join pictures as p on p.image_id = v.image_id and p.content_id = v.content_id
anti join pictures as o on o.image_id = v.given_for and o.content_id = v.content_id
anti join judgements as j on j.image_id = v.image_id and j.created_at = v.created_at
where v.stands and not (v.is_carried_on or v.is_replaced_here or v.is_replaced_elsewhere)
union all
select image_id, 'relabel', label, why, created_at, content_id, 0
from corrections
where content_id not in (select content_id from pictures)
