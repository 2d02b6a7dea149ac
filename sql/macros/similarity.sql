-- Cosine similarity of two vectors, -1 to 1.
create macro similarity(a, b) as list_cosine_similarity(a, b);
