-- One row per plan and image that is in.
select plan, image_id from splits
