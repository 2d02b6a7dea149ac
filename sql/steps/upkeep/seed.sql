-- The seed under which the splits of a plan were drawn, NULL where it has none.
select max(seed) as seed from data.assignments where plan = $plan
