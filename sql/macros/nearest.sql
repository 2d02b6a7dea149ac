-- The k images most similar to one image: neither the image itself nor its exact copies.
create macro nearest(of_image, in_embedder, k) as table
    with target as (
        select content_id, vector
        from embeddings
        where image_id = of_image and embedder = in_embedder and view = 0
    )
    select e.image_id, list_cosine_similarity(e.vector, t.vector) as similarity
    from embeddings as e, target as t
    where e.embedder = in_embedder and e.view = 0 and e.content_id <> t.content_id
    order by similarity desc, e.image_id
    limit k;
