-- Some contents of the catalogue, the same ones each time.
select distinct content_id from images order by content_id limit $count
