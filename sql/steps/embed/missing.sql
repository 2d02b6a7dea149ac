-- One row per content without a vector in a feature set, with all files that hold it.
select i.content_id, list(distinct i.path order by i.path) as paths
from images as i
anti join (select content_id from data.embeddings where embedder = $embedder and view = 0) as e using (content_id)
group by i.content_id
order by i.content_id
