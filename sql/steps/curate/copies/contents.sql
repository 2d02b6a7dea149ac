-- One row per content of the images, by id: its perceptual hash, its pixels, and the first of its images.
select content_id, min(phash) as phash, max(width::bigint * height) as pixels, min(image_id) as image_id
from images
group by content_id
order by content_id
