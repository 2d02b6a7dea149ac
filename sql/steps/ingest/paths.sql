-- One row per content asked for (table wanted) that is in the catalogue, with all files that hold it.
select i.content_id, list(distinct i.path order by i.path) as paths
from images as i
semi join wanted using (content_id)
group by i.content_id
order by i.content_id
