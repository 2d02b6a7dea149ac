-- One row per kind of verdict to tell a person of (lost, stale, moved to a new id), if there are any, with an example.
select 'lost' as state, count(*) as count_verdicts, min_by(verdict, image_id) as verdict,
    min(image_id) as image_id, null::varchar as new_id
from lost_verdicts
having count(*) > 0
union all
select 'stale', count(*), min_by(verdict, image_id), min(image_id), null
from judgements
where is_stale
having count(*) > 0
union all
select 'moved', count(*), min_by(verdict, image_id), min_by(given_for, image_id), min(image_id)
from judgements
where image_id <> given_for
having count(*) > 0
