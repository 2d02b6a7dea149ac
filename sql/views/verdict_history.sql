-- One row per verdict a person gave, and per verdict that ingest carried to a picture's new id (given_for is the id that it was
-- given for), the latest last.
select v.image_id, v.verdict, v.why, v.created_at, v.content_id, v.label, v.given_for
from data.verdicts as v
order by v.created_at
