-- One row per image the stages so far have left, by id.
select image_id, content_id, label, split from candidates order by image_id
