-- One row per image that a person ever gave a verdict.
select distinct image_id
from verdict_history
