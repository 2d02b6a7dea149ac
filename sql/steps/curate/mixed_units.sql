-- One row per unit whose rows have several labels, with those labels.
select u.unit, min(c.image_id) as image_id, list(distinct c.label order by c.label) as labels
from units as u
join candidates as c using (image_id)
group by u.unit
having count(distinct c.label) > 1
order by u.unit
