-- One row per content of an image the store should have whose facts are known.
select * from facts semi join ready using (content_id) order by content_id
