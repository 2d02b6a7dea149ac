-- One row per unit of copies whose rows have several labels, with those labels; not those that a group's value ties together.
select u.unit, min(c.image_id) as image_id, list(distinct c.label order by c.label) as labels
from units as u
join candidates as c using (image_id)
anti join groups as g on g.image_id = u.image_id and g.group_value is not null
group by u.unit
having count(distinct c.label) > 1
order by u.unit
