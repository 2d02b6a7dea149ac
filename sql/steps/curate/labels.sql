-- One row per label that an image has.
select distinct label
from images
where label is not null
order by label
