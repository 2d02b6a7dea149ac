-- One row per settings but for the seed, with the mean, the standard deviation and the range of its seeds on one split. Heads
-- that draw nothing have no deviation: every seed gives the same.
with newest as (
    select
        r.run_id, r.name, r.head, r.embedder, r.features_digest, r.plan, r.seed, r.created_at, r.seconds,
        json_merge_patch(r.settings, '{"seed": null}')::varchar as other_settings,
        e.rows, e.classes, e.accuracy, e.f1_macro, e.loss, e.rows_trained_on, e.rows_selected_on
    from runs as r
    join evaluations as e using (run_id)
    where e.split = $split and e.evaluation = $evaluation
    qualify row_number() over (
        partition by r.name, r.features_digest, other_settings, r.seed
        order by r.created_at desc
    ) = 1
),
rows_of as (
    select run_id, bit_xor(md5_number(image_id || chr(31) || label)) as rows_digest
    from predictions
    where split = $split and evaluation = $evaluation
    group by run_id
),
measured as (
    select *, not list_contains($undrawn, head) as is_drawn
    from newest
    left join rows_of using (run_id)
)
select
    name, head, embedder, features_digest, plan, count(*) as seeds, count(distinct rows_digest) as row_sets,
    max(rows) as rows, max(classes) as f1_classes,
    avg(accuracy) as accuracy, case when is_drawn then stddev_samp(accuracy) end as accuracy_deviation,
    min(accuracy) as accuracy_least, max(accuracy) as accuracy_most,
    avg(f1_macro) as f1_macro, case when is_drawn then stddev_samp(f1_macro) end as f1_macro_deviation,
    min(f1_macro) as f1_macro_least, max(f1_macro) as f1_macro_most,
    avg(loss) as loss, max(rows_trained_on) as rows_trained_on, max(rows_selected_on) as rows_selected_on,
    avg(seconds) as seconds, max(created_at) as created_at
from measured
group by name, head, embedder, features_digest, plan, other_settings, is_drawn
order by created_at desc, name
