-- One row per plan and image that is in, with its split.
select plan, image_id, split from splits
