-- One row per image, by id: its label, where it is in a plan, what was said of it, and its scores.
with pictures as (
    -- without the columns of the user's, which may have any name
    select image_id, content_id, path, label, given_label from images
),
placed as (
    select image_id, split, rule, value, threshold from data.curation where plan = $plan
),
judged as (
    select image_id, verdict, created_at, why from verdicts
),
doubted as (
    select image_id, value as doubt, suggested, evidence from scores where scorer = 'label-doubt'
),
seen as (
    select
        image_id,
        any_value(value) filter (scorer = 'imagenet') as imagenet,
        any_value(value) filter (scorer = 'clip-quality') as clip_quality
    from scores
    where scorer in ('imagenet', 'clip-quality')
    group by image_id
)
select
    image_id, content_id, path, label, given_label, split, rule, value, threshold, verdict, created_at as judged_at, why,
    doubt, suggested, evidence, imagenet, clip_quality
from pictures
left join placed using (image_id)
left join judged using (image_id)
left join doubted using (image_id)
left join seen using (image_id)
order by image_id
