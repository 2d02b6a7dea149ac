-- One row: how many images have a file that was read by earlier decoding rules, and may look different by those of now.
select count(distinct content_id) as contents from read_otherwise semi join images using (content_id)
