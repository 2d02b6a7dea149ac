-- One row per plan and image that was replayed against a person's standing verdict: after it by their dates, or with these very
-- verdicts by the record, as a clock may have been ahead.
select c.plan, c.image_id, v.verdict, c.rule, c.split
from data.curation as c
join judgements as v using (image_id)
join steps as s
    on s.step = 'curate' and s.name = c.plan
    and (s.created_at >= v.created_at or json_extract_string(s.inputs, '$.verdicts') = (select digest from verdicts_digest()))
where (v.verdict = 'keep' and c.rule is not null) or (v.verdict = 'drop' and c.rule is null)
