-- One row per labelled image that a plan keeps in one of some splits, by id.
select image_id, content_id, label, split
from labelled
where plan = $plan and list_contains($splits, split)
order by image_id
