-- One row per run that predictions or evaluations name and that does not exist.
select run_id, count(*) as rows
from (select run_id from data.predictions union all select run_id from data.evaluations)
anti join data.runs using (run_id)
group by run_id
