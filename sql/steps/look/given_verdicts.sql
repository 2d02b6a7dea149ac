-- One row per kind of verdict: how many were given.
select verdict, count(*) as verdicts from data.verdicts group by verdict order by verdict
