-- One row per rule of a plan, in the order they work, and a person's verdicts first: how many images it took out.
select
    e.rule, coalesce(any_value(s.position), 0) as position, any_value(s.settings) as settings, count(*) as images,
    max(e.pass) as passes
from exclusions as e
left join stages as s on s.plan = e.plan and s.kind = 'rule' and s.name = e.rule
where e.plan = $plan
group by e.rule
order by position, e.rule
