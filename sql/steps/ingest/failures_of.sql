-- One row per failure of one step, by id.
select * from failures where step = $step and name = $name order by image_id
