-- One row per count that the report gives, in its order, as one plan has it.
with gone as (
    select rule, pass, count(*) as images
    from exclusions
    where plan = $plan
    group by rule, pass
),
stood as (
    select split, count(*) as images
    from splits
    where plan = $plan
    group by split
),
placed as (
    select count(*) as images
    from images as i
    join data.assignments as a using (content_id)
    left join exclusions as e on e.image_id = i.image_id and e.plan = $plan
    where a.plan = $plan and a.stage = 'test' and a.split = 'test' and coalesce(e.rule, 'centroid') = 'centroid'
),
whole as (
    select (select count(*) from images) + (select count(*) from failures where step = 'ingest') as images
),
counts as (
    select 1 as position, 'rows in the catalogue' as step, images from whole
    union all select 2, 'out: greyscale', sum(images) from gone where rule = 'greyscale'
    union all select 3, 'out: CMYK', sum(images) from gone where rule = 'cmyk'
    union all select 4, 'out: CLIP quality', sum(images) from gone where rule = 'clip-quality'
    union all select 5, 'left to split', rows_in from stages where plan = $plan and kind = 'split' and name = 'test'
    union all select 6, 'test rows, at first', images from placed
    union all select 7, 'out: centroid, 95th percentile', sum(images) from gone where rule = 'centroid' and pass = 1
    union all select 8, 'out: centroid, 97.5th percentile', sum(images) from gone where rule = 'centroid' and pass = 2
    union all select 9, 'train', sum(images) from stood where split = 'train'
    union all select 10, 'val', sum(images) from stood where split = 'val'
    union all select 11, 'test', sum(images) from stood where split = 'test'
    union all select 12, 'kept in all', sum(images) from stood
)
select step, coalesce(images, 0)::int as images
from counts
order by position
