-- One row per image with a score, the most suspicious first: its place, a sentence, and the value and place in each signal.
with placed as (
    select
        image_id, scorer, value, suggested, evidence,
        -- 1 is the most suspicious: the lowest value of scorers that say how good a picture is, the highest of the others
        rank() over (
            partition by scorer order by if(scorer in ('imagenet', 'clip-quality'), value, -value)
        ) as place
    from scores
),
signals as (
    select
        image_id,
        any_value(suggested) filter (scorer = 'label-doubt') as suggested,
        any_value(evidence) filter (scorer = 'label-doubt') as evidence,
        any_value(value) filter (scorer = 'label-doubt') as label_doubt,
        any_value(place) filter (scorer = 'label-doubt') as label_doubt_rank,
        any_value(value) filter (scorer = 'imagenet') as imagenet,
        any_value(place) filter (scorer = 'imagenet') as imagenet_rank,
        any_value(value) filter (scorer = 'clip-quality') as clip_quality,
        any_value(place) filter (scorer = 'clip-quality') as clip_quality_rank,
        any_value(value) filter (scorer = 'knn') as knn,
        any_value(place) filter (scorer = 'knn') as knn_rank,
        any_value(value) filter (scorer = 'isolation-forest') as isolation_forest,
        any_value(place) filter (scorer = 'isolation-forest') as isolation_forest_rank,
        any_value(value) filter (scorer = 'autoencoder') as autoencoder,
        any_value(place) filter (scorer = 'autoencoder') as autoencoder_rank,
        -- the more suspicious place in the signals that find the most; the others decide only where there are none of these
        coalesce(
            min(place) filter (scorer in ('label-doubt', 'imagenet', 'clip-quality')),
            min(place) + (select count(*) from data.images)
        ) as deciding,
        sum(place) filter (scorer in ('label-doubt', 'imagenet', 'clip-quality')) as places
    from placed
    group by image_id
)
select
    row_number() over (order by s.deciding, s.places, s.image_id) as rank,
    s.image_id, i.path, i.label, s.suggested,
    concat_ws(
        '; ',
        coalesce('filed as ' || i.label, 'not labelled'),
        -- said where something else is likelier; the rule imagenet takes out less, to be surer
        if(
            s.imagenet >= 0 and s.imagenet < 0.5,
            'the network gives the wanted classes ' || round(100 * s.imagenet)::int || ' %',
            null
        ),
        if(s.clip_quality < 0, 'CLIP sees a bad picture', null),
        s.evidence
    ) as sentence,
    v.verdict,
    s.* exclude (image_id, suggested, evidence, deciding, places)
from signals as s
join images as i using (image_id)
left join verdicts as v using (image_id)
order by rank
