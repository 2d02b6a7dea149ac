-- One row: the plain evaluation of the newest run that has one, on test, or else on the first of its splits by name.
select run_id, evaluation, split
from data.evaluations as e
join (select run_id, created_at from data.runs) as r using (run_id)
where evaluation = 'plain'
order by r.created_at desc, run_id desc, split <> 'test', split
limit 1
