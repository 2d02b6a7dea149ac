-- One row per run, and per evaluation of one on a split.
select run_id, name, null as evaluation, null as split from data.runs
union all
select run_id, r.name, evaluation, split
from data.evaluations
join data.runs as r using (run_id)
order by run_id, evaluation nulls first, split
