-- One row per verdict that applies to no image any more, by the id that it was given for, and whether it is a label.
select image_id, content_id, verdict = 'relabel' as is_label from lost_verdicts order by image_id
