-- One row per class, the largest first: its images, those that a plan keeps, and those in its train split.
select
    i.label, count(*) as images, count(s.image_id) as kept, count(*) filter (s.split = 'train') as train
from images as i
left join splits as s on s.image_id = i.image_id and s.plan = $plan
group by i.label
order by images desc, i.label nulls last
