-- One row: how many values of the column of a split's groups hold several labels, and the first of them.
select count(*) as count_values, list(group_value order by group_value)[:3] as examples
from (
    select g.group_value
    from groups as g
    join candidates as c using (image_id)
    where g.group_value is not null and c.split = 'train'
    group by g.group_value
    having count(distinct c.label) > 1
)
