-- One row per plan: test rows of the class that is largest in training, which is what guessing it gets right.
with largest as (
    select plan, label
    from labelled
    where split = 'train'
    group by plan, label
    qualify row_number() over (partition by plan order by count(*) desc, label) = 1
)
select l.plan, count(*) as rows, count(*) filter (l.label = largest.label) as right
from labelled as l
join largest using (plan)
where l.split = 'test'
group by l.plan
order by l.plan
