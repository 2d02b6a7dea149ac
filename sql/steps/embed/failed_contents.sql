-- How many contents could not be embedded in one set and have no vector, as of an embed after the last ingest.
select count(distinct i.content_id) as contents
from failures as f
join images as i using (image_id)
where f.step = 'embed' and f.name = $embedder
    and i.content_id not in (select content_id from data.embeddings where embedder = $embedder and view = 0)
    and (select max(created_at) from steps where step = 'embed' and name = $embedder)
        > (select max(created_at) from steps where step = 'ingest')
