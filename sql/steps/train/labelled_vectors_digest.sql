-- One digest over a feature set and those of its vectors that the labelled rows of some splits of a plan have.
select
    (select digest from feature_sets where embedder = $embedder)
    || ':' || count(*) || ':' || coalesce(bit_xor(md5_number(content_id)), 0) as digest
from (
    select distinct l.content_id
    from labelled as l
    join data.embeddings as e using (content_id)
    where l.plan = $plan and list_contains($splits, l.split) and e.embedder = $embedder and e.view = 0
)
