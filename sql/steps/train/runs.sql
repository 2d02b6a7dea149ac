-- One row per run, the newest first.
select run_id, name, head, embedder, plan, classes from data.runs order by created_at desc, run_id
