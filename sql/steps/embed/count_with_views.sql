-- The number of different contents that should have augmented views: those of a plan's training rows, or all.
select count(distinct content_id) as contents
from images
where $view_rows = 'all'
    or image_id in (select image_id from labelled where plan = $plan and split = 'train')
