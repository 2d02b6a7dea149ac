-- One row per row of the catalogue as the store should have it, image or failure; columns as before, and new ones.
select * from ready
union all by name
select * from failed
union all by name
select * from catalogue_before where false
