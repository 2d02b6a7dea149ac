-- One row per plan and group of copies that a split by a column of the catalogue divides.
select plan, original_id, images
from divided_copies
where is_given
order by plan, original_id
