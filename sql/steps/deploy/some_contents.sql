-- One row per content of the catalogue, the first some by id, the same ones each time.
select distinct content_id from images order by content_id limit $count
