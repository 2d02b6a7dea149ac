-- One row per feature set, with how many vectors of one image it has: of it as it is, and of augmented views.
select f.embedder, f.dimensions, count(*) filter (e.view = 0) as vectors, count(*) filter (e.view > 0) as views
from feature_sets as f
left join (
    select e.embedder, e.view
    from data.embeddings as e
    join images as i using (content_id)
    where i.image_id = $image_id
) as e using (embedder)
group by f.embedder, f.dimensions
order by f.embedder
