-- One row per plan and group of near copies whose images stand in different splits; not where a column of the catalogue says so.
select d.plan, d.original_id, d.images
from divided_copies as d
where len(list_filter(d.kinds, lambda kind: kind <> 'exact')) > 0
    and not exists (from given_splits as g where g.plan = d.plan and list_contains(d.splits, g.split))
order by d.plan, d.original_id
