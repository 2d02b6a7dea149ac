-- The settings of one run.
select settings from runs where run_id = $run_id
