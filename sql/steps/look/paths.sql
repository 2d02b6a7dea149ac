-- One row per content of the catalogue's images, with all files that hold it.
select content_id, list(distinct path order by path) as paths
from images
group by content_id
