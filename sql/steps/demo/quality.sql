-- One row: what CLIP quality at a plan's threshold says of all pictures that were scored, whichever rule takes them out.
-- Sketches of animals count neither as found nor as lost.
with limits as (
    select coalesce(any_value((settings->>'threshold')::double), 0) as threshold
    from stages
    where plan = $plan and name = 'clip-quality'
),
judged as (
    select t.standing, s.value < limits.threshold as below
    from scores as s
    join truth as t using (image_id), limits
    where s.scorer = 'clip-quality' and t.kind <> 'sketch'
)
select
    count(*) filter (standing = 'trained') as trained,
    count(*) filter (standing = 'trained' and below) as trained_found,
    count(*) filter (standing = 'untrained') as untrained,
    count(*) filter (standing = 'untrained' and below) as untrained_found,
    count(*) filter (below) as flagged
from judged
