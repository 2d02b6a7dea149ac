-- One row per range of the longer side, in pixels: how many pictures are in it. A range begins at a power of the root of 2.
with sides as (
    select floor(2 * log2(greatest(width, height))) as step
    from images
    where width > 0 and height > 0
)
select round(power(2, step / 2))::bigint as pixels, round(power(2, (step + 1) / 2))::bigint as below, count(*) as images
from sides
group by step
order by step
