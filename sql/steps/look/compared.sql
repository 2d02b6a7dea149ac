-- One row per image that two runs were both evaluated on, with what each says of it; the surest first.
select
    a.image_id, a.label = a.predicted as a_is_right, b.label = b.predicted as b_is_right,
    a.predicted as a_predicted, b.predicted as b_predicted, a.probability as a_probability, b.probability as b_probability
from predictions as a
join predictions as b using (image_id, split)
where a.run_id = $a and b.run_id = $b and a.evaluation = 'plain' and b.evaluation = 'plain'
order by greatest(a.probability, b.probability) desc, a.image_id
