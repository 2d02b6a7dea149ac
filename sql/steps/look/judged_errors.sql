-- One row per image that was ever judged for one reason.
select distinct image_id
from data.verdicts
where why = $why
