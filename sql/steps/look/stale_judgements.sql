-- One row per image whose keep or drop was given for other bytes than it has now: for which.
select image_id, v.content_id
from judgements as j
join last_verdicts as v using (image_id, created_at)
where j.is_stale
