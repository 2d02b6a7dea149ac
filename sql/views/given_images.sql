-- One row per readable row of the catalogue, with the label that the catalogue gives.
select * from data.images
