-- One row per image that shows none of the wanted ImageNet classes. Settings: threshold (0.3).
-- setting threshold (0 to 1): An image whose probabilities of the wanted classes add up to less is out.
select c.image_id, s.value, coalesce($threshold::double, 0.3) as threshold
from candidates as c
join scores as s using (image_id)
where s.scorer = 'imagenet' and s.value < coalesce($threshold::double, 0.3)
