-- One row per image the store should have, by id.
select * from ready order by image_id
