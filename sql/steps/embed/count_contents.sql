-- The number of different contents among the images.
select count(distinct content_id) as contents from images
