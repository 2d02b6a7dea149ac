-- One row per content a run saw in one split.
select distinct content_id from data.run_rows where run_id = $run_id and split = $split
