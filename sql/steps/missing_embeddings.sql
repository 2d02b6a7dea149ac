-- One row per content without a vector in a feature set, with one of its files.
select i.content_id, min(i.path) as path, count(*) as images
from data.images as i
anti join (select content_id from data.embeddings where embedder = $embedder and view = 0) as e using (content_id)
group by i.content_id
order by i.content_id
