-- One row per image in a group of near copies: the group by its best picture, which comes first, and how it is like that one.
with near as (
    select image_id, original_id, kind, correlation from copies where kind <> 'exact'
)
select image_id, original_id, kind, correlation from near
union all
select distinct original_id, original_id, 'best', null from near
order by original_id, kind <> 'best', image_id
