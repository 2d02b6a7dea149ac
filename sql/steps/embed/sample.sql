-- One row per content and view with a vector in one set, with all files that hold it: $count of them, the same every time; none
-- that earlier decoding rules read and that may look different now.
select e.content_id, e.view, list(distinct i.path order by i.path) as paths, any_value(e.vector) as vector
from data.embeddings as e
join images as i using (content_id)
where e.embedder = $embedder and e.content_id not in (select content_id from read_otherwise)
group by e.content_id, e.view
order by md5(e.content_id || '/' || e.view)
limit $count
