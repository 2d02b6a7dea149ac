-- One row per row of the catalogue as the store has it, image or failure.
select * from given_images
union all by name
select * from failures where step = 'ingest'
