-- One row per failure of a catalogue row, by path.
select image_id, path, step, name, reason
from data.failures
order by path, step, name
