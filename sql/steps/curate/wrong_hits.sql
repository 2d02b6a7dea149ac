-- One row per image that a rule gave more than once, or that is no candidate.
select h.image_id, count(*) as hits, bool_or(c.image_id is not null) as is_candidate
from hits as h
left join (select distinct image_id from candidates) as c using (image_id)
group by h.image_id
having count(*) > 1 or not bool_or(c.image_id is not null)
order by h.image_id
limit 1
