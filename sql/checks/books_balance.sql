-- One row per plan whose books do not balance: ready = kept + out + not yet curated, and every kept row has a split.
with ready as (
    select count(*) as images from images
),
replayed as (
    select
        plan,
        count(*) filter (rule is null and split is not null) as kept,
        count(*) filter (rule is not null and split is null) as out,
        count(*) as total,
        count(distinct image_id) as images
    from data.curation
    semi join images using (image_id)
    group by plan
),
pending as (
    select r.plan, count(*) as images
    from replayed as r, images as i
    where not exists (from data.curation as c where c.plan = r.plan and c.image_id = i.image_id)
    group by r.plan
)
select r.plan, ready.images as ready, r.kept, r.out, coalesce(p.images, 0) as pending
from ready, replayed as r
left join pending as p using (plan)
where ready.images <> r.kept + r.out + coalesce(p.images, 0) or r.total <> r.images
