-- One row per image stored in CMYK: in a photo catalogue mostly scans of print and x-rays.
select image_id, null::double as value, null::double as threshold
from candidates
where mode = 'CMYK'
