-- One row per ready image before any stage: all in train, but for those a person dropped.
select
    i.image_id, i.content_id, i.label,
    case when v.verdict = 'drop' then 'verdict' end as rule,
    case when v.verdict = 'drop' then 0 end as pass,
    null::double as value,
    null::double as threshold,
    'train' as split,
    coalesce(v.verdict = 'keep', false) as is_kept
from images as i
left join judgements as v using (image_id)
