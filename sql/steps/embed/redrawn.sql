-- One row per content with vectors in one set that looks different under the present decoding rules: its samples were taken for
-- ones of 8 or 16 bits before. By id.
select distinct e.content_id
from data.embeddings as e
join facts as f using (content_id)
where e.embedder = $embedder and f.white not in (255, 65535)
order by e.content_id
