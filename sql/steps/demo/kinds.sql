-- One row per kind of planted fault: how many there are, how many a plan found, and by what.
with counted as (
    select kind, standing, rule, count(*) as images
    from outcomes
    where plan = $plan and standing <> 'good'
    group by all
)
select
    kind,
    case standing when 'trained' then 'yes' when 'untrained' then 'no' else '' end as trained_on,
    sum(images)::int as planted,
    coalesce(sum(images) filter (rule is not null), 0)::int as found,
    string_agg(rule || ' ' || images, ', ' order by images desc, rule) as found_by
from counted
group by kind, standing
order by standing, kind
