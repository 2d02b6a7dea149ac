-- One row per plan and group of copies that a split by a column of the catalogue divides.
select d.plan, d.original_id, d.images
from divided_copies as d
where exists (from given_splits as g where g.plan = d.plan and list_contains(d.splits, g.split))
order by d.plan, d.original_id
