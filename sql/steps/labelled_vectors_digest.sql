-- One digest over a feature set and those of its vectors that the labelled rows of some splits of a plan have.
select
    (select digest from feature_sets where embedder = $embedder)
    || ':' || count(*) || ':' || coalesce(bit_xor(md5_number(content_id)), 0) as digest
from (
    select distinct i.content_id
    from images as i
    join splits as s using (image_id)
    join data.embeddings as e using (content_id)
    where s.plan = $plan and list_contains($splits, s.split) and i.label is not null
        and e.embedder = $embedder and e.view = 0
)
