-- One row per feature set: how many of the images have a vector, the number of augmented views and how many images have any.
select
    f.embedder, f.network, f.dimensions,
    count(e.image_id) filter (e.view = 0) as images,
    (select count(*) from images) - count(e.image_id) filter (e.view = 0) as missing,
    (select count(*) from failures where step = 'embed' and name = f.embedder) as failed,
    coalesce(max(e.view), 0) as views,
    count(distinct e.image_id) filter (e.view > 0) as images_with_views
from feature_sets as f
left join embeddings as e using (embedder)
group by f.embedder, f.network, f.dimensions
order by f.embedder
