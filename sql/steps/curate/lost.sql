-- One row per verdict that applies to no image any more, by the id that it was given for.
select image_id, content_id from lost_verdicts order by image_id
