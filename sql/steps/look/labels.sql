-- One row per image, with its label.
select image_id, label from images
