-- One row per image that a rule gave more than once, or that is no candidate.
select h.image_id, count(*) as hits, h.image_id in (select image_id from candidates) as is_candidate
from hits as h
group by h.image_id
having count(*) > 1 or h.image_id is null or h.image_id not in (select image_id from candidates)
order by h.image_id
limit 1
