-- One row: of the images that the stages so far have left, how many have no facts, no time or no camera.
select
    count(*) filter (f.content_id is null) as without_facts,
    count(*) filter (f.taken_at is null or f.camera is null) as without_time
from candidates as c
left join facts as f using (content_id)
