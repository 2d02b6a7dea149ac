-- One row per file format and colour mode.
select format, mode, count(*) as images, count(*) filter (is_grey) as grey, count(*) filter (frames > 1) as with_frames
from images
group by format, mode
order by images desc, format, mode
