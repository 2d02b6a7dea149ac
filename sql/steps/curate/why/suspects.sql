-- One row: the place of one image among the suspects, of how many, and the label that is suggested for it; none without a score.
select rank, (select count(*) from suspects) as suspects, suggested
from suspects
where image_id = $image_id
