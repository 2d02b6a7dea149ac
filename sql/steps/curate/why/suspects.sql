-- One row: the place of one image among the suspects, of how many, and the label that is suggested for it; none without a score.
with placed as materialized (
    -- the view is costly, and asked for once
    select image_id, rank, suggested from suspects
)
select rank, (select count(*) from placed) as suspects, suggested
from placed
where image_id = $image_id
