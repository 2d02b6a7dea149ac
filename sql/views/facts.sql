-- One row per content examined since facts are kept: sharpness, brightness and entropy of its pixels, and what its EXIF says.
select *
from data.facts
qualify row_number() over (partition by content_id order by examined_at desc) = 1
