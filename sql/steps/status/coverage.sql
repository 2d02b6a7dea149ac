-- One row per feature set: how many of the images have a vector.
select
    f.embedder, f.network, f.dimensions,
    count(e.image_id) as images,
    (select count(*) from images) - count(e.image_id) as missing,
    (select count(*) from failures where step = 'embed' and name = f.embedder) as failed
from feature_sets as f
left join embeddings as e on e.embedder = f.embedder and e.view = 0
group by f.embedder, f.network, f.dimensions
order by f.embedder
