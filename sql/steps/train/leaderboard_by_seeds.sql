-- One row per settings but for the seed, with the mean, the standard deviation and the range of its seeds on one split.
with newest as (
    select
        r.name, r.head, r.embedder, r.features_digest, r.plan, r.seed, r.created_at, r.seconds,
        json_merge_patch(r.settings, '{"seed": null}')::varchar as other_settings,
        e.rows, e.classes, e.accuracy, e.f1_macro, e.loss
    from runs as r
    join evaluations as e using (run_id)
    where e.split = $split and e.evaluation = $evaluation
    qualify row_number() over (
        partition by r.name, r.features_digest, other_settings, r.seed
        order by r.created_at desc
    ) = 1
)
select
    name, head, embedder, features_digest, plan, count(*) as seeds, any_value(rows) as rows, any_value(classes) as f1_classes,
    avg(accuracy) as accuracy, stddev_samp(accuracy) as accuracy_deviation, min(accuracy) as accuracy_least,
    max(accuracy) as accuracy_most,
    avg(f1_macro) as f1_macro, stddev_samp(f1_macro) as f1_macro_deviation, min(f1_macro) as f1_macro_least,
    max(f1_macro) as f1_macro_most,
    avg(loss) as loss, avg(seconds) as seconds, max(created_at) as created_at
from newest
group by name, head, embedder, features_digest, plan, other_settings
order by created_at desc, name
