-- One row per step and reason of failure, with one of the files.
select step, name, reason, count(*) as rows, min(path) as for_instance
from failures
group by step, name, reason
order by rows desc, reason
