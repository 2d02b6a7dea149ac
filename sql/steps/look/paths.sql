-- One row per content of the catalogue's images, with all files that hold it.
select content_id, list(distinct path order by path) as paths
from images
where content_id is not null
group by content_id
