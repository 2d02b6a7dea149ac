-- One row per plan: where one image stands in it, and the stage that took it out.
select
    c.plan, c.rule, c.pass, c.value, c.threshold, c.split, s.position, s.settings,
    exists (from judgements as v where v.image_id = c.image_id and v.verdict = 'keep') as kept_by_verdict
from data.curation as c
left join stages as s on s.plan = c.plan and s.kind = 'rule' and s.name = c.rule
where c.image_id = $image_id
order by c.plan
