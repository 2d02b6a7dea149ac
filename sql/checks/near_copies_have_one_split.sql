-- One row per plan and group of near copies whose images stand in different splits; not where a column of the catalogue says so.
select d.plan, d.original_id, d.images
from divided_copies as d
where len(list_filter(d.kinds, lambda kind: kind <> 'exact')) > 0
    and not exists (
        from stages as s
        where s.plan = d.plan and s.kind = 'split' and list_contains(d.splits, s.name)
            and json_valid(s.settings) and s.settings->>'where' is not null
    )
order by d.plan, d.original_id
