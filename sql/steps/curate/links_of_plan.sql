-- One row per labelled image that a plan keeps and thing that ties it to others: equal bytes, known copies.
with rows_read as (
    select image_id, content_id from labelled where plan = $plan
)
select image_id, 'content ' || content_id as link from rows_read
union all
select r.image_id, 'copy ' || c.original_id from rows_read as r join copies as c using (image_id)
union all
select image_id, 'copy ' || image_id from rows_read where image_id in (select original_id from copies)
order by image_id, link
