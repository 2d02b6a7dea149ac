-- One digest over what a feature set is and which of the store's contents it has.
select
    (select digest from feature_sets where embedder = $embedder)
    || ':' || count(distinct content_id) || ':' || coalesce(bit_xor(md5_number(content_id)), 0) as digest
from (
    select distinct e.content_id
    from data.embeddings as e
    semi join data.images as i using (content_id)
    where e.embedder = $embedder and e.view = 0
)
