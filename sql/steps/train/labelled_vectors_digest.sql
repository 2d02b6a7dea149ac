-- One digest over a feature set and those of its vectors, of so many views, that the labelled rows of some splits of a plan have.
select
    (select digest from feature_sets where embedder = $embedder)
    || ':' || count(*) || ':' || coalesce(bit_xor(md5_number(content_id || case view when 0 then '' else ' ' || view end)), 0) as digest
from (
    select distinct l.content_id, e.view
    from labelled as l
    join data.embeddings as e using (content_id)
    where l.plan = $plan and list_contains($splits, l.split) and e.embedder = $embedder and e.view <= $views::integer
)
