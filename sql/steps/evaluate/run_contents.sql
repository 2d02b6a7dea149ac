-- One row per content that some runs saw in one split.
select distinct content_id from data.run_rows where list_contains($run_ids, run_id) and split = $split
