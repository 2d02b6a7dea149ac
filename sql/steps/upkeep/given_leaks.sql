-- One row per plan and group of copies that a split by a column of the catalogue divides.
select d.plan, d.original_id, d.images
from divided_copies as d
where exists (
    from stages as s
    where s.plan = d.plan and s.kind = 'split' and list_contains(d.splits, s.name)
        and json_valid(s.settings) and s.settings->>'where' is not null
)
order by d.plan, d.original_id
