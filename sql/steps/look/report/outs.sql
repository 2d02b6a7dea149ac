-- One row per image that a rule of a plan took out, once by how far it is beyond the threshold and once by how close: the first of
-- each ("worst", "narrow"). What has no threshold is placed by its value alone, and is in no narrow list.
with taken as (
    select
        e.image_id, i.content_id, i.path, i.label, e.pass, e.value, e.threshold, abs(e.value - e.threshold) as margin
    from exclusions as e
    join images as i using (image_id)
    where e.plan = $plan and e.rule = $rule
)
select 'worst' as list, row_number() over (order by margin desc nulls last, value nulls last, image_id) as place, *
from taken
qualify place <= $most
union all
select 'narrow', row_number() over (order by margin, image_id) as place, *
from taken
where margin is not null
qualify place <= $most
order by list, place
