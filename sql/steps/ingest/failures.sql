-- One row per failure of ingest the store should have, by id.
select * from failed order by image_id
