-- One row per run, the newest first.
select
    run_id, created_at, name, coalesce(kind, 'head') as kind, head, embedder,
    coalesce(embedders, [embedder]) as embedders, plan, classes, settings, settings_chosen_on, seed, views,
    finetuned_from, helped
from data.runs
order by created_at desc, run_id
