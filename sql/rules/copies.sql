-- One row per image that is like a better one: its perceptual hash is within so many bits of the other's 64, as it always is
-- for equal bytes. The better of two has more pixels, or comes first by id among equals. Settings: bits (4, 0 to 7).
-- In a chain each image but the best of its neighbours goes, though the best of all may be farther than that.
-- Hashes that differ in at most 7 bits have at least one of their 8 bytes in common, and only such pairs are compared.
-- setting bits (0 to 7): Most bits of the hashes that may differ; 0 for equal hashes alone.
with limits as (
    select coalesce($bits::integer, 4) as most_bits
),
hashed as (
    select image_id, width * height as area, phash, ('0x' || phash)::ubigint as hash_number
    from candidates
),
pieces as (
    select h.*, piece_number, substr(h.phash, 2 * piece_number + 1, 2) as piece
    from hashed as h, range(8) as numbers(piece_number)
),
pairs as (
    select
        case when (-a.area, a.image_id) < (-b.area, b.image_id) then b.image_id else a.image_id end as image_id,
        bit_count(xor(a.hash_number, b.hash_number)) as distance
    from pieces as a
    join pieces as b on a.piece_number = b.piece_number and a.piece = b.piece and a.image_id < b.image_id
)
select image_id, min(distance)::double as value, any_value(most_bits)::double as threshold
from pairs, limits
where distance <= most_bits
group by image_id
