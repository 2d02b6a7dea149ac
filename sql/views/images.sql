-- One row per readable row of the catalogue, with the user's own columns.
select * from data.images
