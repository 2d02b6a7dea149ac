-- One row per kind of verdict to tell a person of (lost, stale), if there are any, with an example.
select 'lost' as state, count(*) as count_verdicts, min_by(verdict, image_id) as verdict, min(image_id) as image_id
from lost_verdicts
having count(*) > 0
union all
select 'stale', count(*), min_by(verdict, image_id), min(image_id)
from judgements
where is_stale
having count(*) > 0
