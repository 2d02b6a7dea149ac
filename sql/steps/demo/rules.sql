-- One row per rule of a plan, in the order they work: the planted faults it took out, and the good rows it cost.
with taken as (
    select
        rule,
        count(*) filter (standing <> 'good') as faults_found,
        count(*) filter (standing = 'untrained') as of_them_never_trained_on,
        count(*) filter (standing = 'good') as good_rows_lost
    from outcomes
    where plan = $plan and rule is not null
    group by rule
),
places as (
    select 'ingest' as rule, -1 as position
    union all
    select name, position
    from stages
    where plan = $plan and kind = 'rule'
)
select
    rule,
    coalesce(faults_found, 0)::int as faults_found,
    coalesce(of_them_never_trained_on, 0)::int as of_them_never_trained_on,
    coalesce(good_rows_lost, 0)::int as good_rows_lost
from places
full join taken using (rule) -- a person's verdict is no stage
order by position nulls last
