-- One row per content that could not be embedded in one set and has no vector, as of an embed after the last ingest.
select distinct i.content_id
from failures as f
join images as i using (image_id)
where f.step = 'embed' and f.name = $embedder
    and i.content_id not in (select content_id from data.embeddings where embedder = $embedder and view = 0)
    and (select max(created_at) from steps where step = 'embed' and name = $embedder)
        > (select max(created_at) from steps where step = 'ingest')
