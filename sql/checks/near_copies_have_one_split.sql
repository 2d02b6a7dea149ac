-- One row per plan and group of near copies whose images stand in different splits; not where a column of the catalogue says so.
select plan, original_id, images
from divided_copies
where len(list_filter(kinds, lambda kind: kind <> 'exact')) > 0 and not is_given
order by plan, original_id
