-- One row per image whose pixels have no colour, whatever its mode says.
select image_id, chroma::double as value, null::double as threshold
from candidates
where is_grey
