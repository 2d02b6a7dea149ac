-- One row per plan (one without a plan's name where none was replayed): catalogue = ready + failed, and
-- ready = kept + out + not yet curated.
with totals as (
    select
        (select count(*) from images) as ready,
        (select count(*) from failures where step = 'ingest') as failed
),
plans as (
    select plan from stages
    union
    select null where not exists (from stages)
),
counts as (
    select
        p.plan,
        (select count(*) from splits where splits.plan = p.plan) as kept,
        (select count(*) from exclusions where exclusions.plan = p.plan) as out
    from plans as p
)
select
    t.ready + t.failed as catalogue, t.ready, t.failed,
    c.plan, c.kept, c.out, t.ready - c.kept - c.out as not_yet_curated
from totals as t, counts as c
order by c.plan
