-- One row per image that two runs were both evaluated on, and which of them tell it rightly.
select a.image_id, a.label = a.predicted as a_is_right, b.label = b.predicted as b_is_right
from predictions as a
join predictions as b using (image_id, split)
where a.run_id = $a and b.run_id = $b and a.evaluation = 'plain' and b.evaluation = 'plain'
order by a.image_id
