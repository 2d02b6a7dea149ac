-- One row per content and view with a vector in one set, with all files that hold it: $count of them, the same every time.
select e.content_id, e.view, list(distinct i.path order by i.path) as paths, any_value(e.vector) as vector
from data.embeddings as e
join images as i using (content_id)
where e.embedder = $embedder
group by e.content_id, e.view
order by md5(e.content_id || '/' || e.view)
limit $count
