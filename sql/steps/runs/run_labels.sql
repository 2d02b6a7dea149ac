-- One row per image a run saw in one split, with the label it had then.
select image_id, label from data.run_rows where run_id = $run_id and split = $split
