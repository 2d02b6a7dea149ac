-- One row per copy relation one image stands in.
select image_id, original_id, kind, correlation, overlap, inliers
from copies
where image_id = $image_id or original_id = $image_id
order by kind = 'exact' desc, image_id
