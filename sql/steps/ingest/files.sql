-- One row per file of an image the store should have.
select * from files semi join ready using (path) order by path
