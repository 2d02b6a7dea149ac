-- One row per image that is like a better one: their perceptual hashes differ in only a few of 64 bits, or
-- 'coldframe copies' found that both show the same picture. The better of two has more pixels, or comes first by id among equals.
-- Settings: bits (4, 0 to 7), found (true).
-- By hash, in a chain each image but the best of its neighbours goes, though the best of all may be farther than that. Of a group
-- that was found the best stays, and value is NULL.
-- Hashes that differ in at most 7 bits have at least one of their 8 bytes in common, and only such pairs are compared.
-- setting bits (0 to 7): Most bits of the hashes that may differ; 0 for equal hashes alone.
-- setting found: Whether the near copies that 'coldframe copies' found count too.
with limits as (
    select coalesce($bits::integer, 4) as most_bits
),
hashed as (
    select image_id, width * height as area, phash, try_cast('0x' || phash as ubigint) as hash_number
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
),
by_hash as (
    select image_id, min(distance) as distance
    from pairs, limits
    where distance <= most_bits
    group by image_id
),
members as (
    select image_id, original_id from copies where kind <> 'exact' and coalesce($found::boolean, true)
    union
    select original_id, original_id from copies where kind <> 'exact' and coalesce($found::boolean, true)
),
found as (
    select distinct m.image_id  -- once, even if a store made by someone else has it in two groups
    from members as m
    join hashed as h using (image_id)
    qualify row_number() over (partition by m.original_id order by h.area desc, m.image_id) > 1
)
select image_id, h.distance::double as value, if(h.image_id is null, null, most_bits)::double as threshold
from by_hash as h
full join found as f using (image_id), limits
