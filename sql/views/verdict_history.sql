-- One row per verdict a person gave, the latest last.
select v.image_id, v.verdict, v.why, v.created_at, v.content_id, v.label
from data.verdicts as v
order by v.created_at
