-- One row per plan: where one image stands in it, and the stage that took it out; like_id is the picture that the rule copies
-- kept in its place, or took for a better one.
with mine as (
    select image_id, try_cast('0x' || phash as ubigint) as hash, width::bigint * height as pixels
    from images
    where image_id = $image_id
),
alike as (
    select c.plan, i.image_id, s.split is null as is_out
    from data.curation as c
    join mine as m using (image_id)
    join images as i
        on i.image_id <> m.image_id
        and (-i.width::bigint * i.height, i.image_id) < (-m.pixels, m.image_id)
        and bit_count(xor(try_cast('0x' || i.phash as ubigint), m.hash)) = c.value
    left join splits as s on s.plan = c.plan and s.image_id = i.image_id
    where c.rule = 'copies' and c.value is not null
    union all
    select c.plan, o.original_id, s.split is null
    from data.curation as c
    join copies as o using (image_id)
    left join splits as s on s.plan = c.plan and s.image_id = o.original_id
    where c.rule = 'copies' and c.value is null and c.image_id = $image_id
)
select
    c.plan, c.rule, c.pass, c.value, c.threshold, c.split, s.position, s.settings,
    exists (from judgements as v where v.image_id = c.image_id and v.verdict = 'keep') as kept_by_verdict,
    (select min_by(a.image_id, (a.is_out, a.image_id)) from alike as a where a.plan = c.plan) as like_id
from data.curation as c
left join stages as s on s.plan = c.plan and s.kind = 'rule' and s.name = c.rule
where c.image_id = $image_id
order by c.plan
