-- One row per feature set, with how many vectors of one image it has.
select f.embedder, f.dimensions, count(e.content_id) as vectors
from feature_sets as f
left join (
    select e.embedder, e.content_id
    from data.embeddings as e
    join images as i using (content_id)
    where i.image_id = $image_id
) as e using (embedder)
group by f.embedder, f.dimensions
order by f.embedder
