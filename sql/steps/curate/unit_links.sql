-- One row per image still in train and thing that ties it to others: equal bytes, known copies, an equal group.
with rows_in_train as (
    select * from candidates where split = 'train'
),
links as (
    select image_id, 'content ' || content_id as link from rows_in_train
    union all
    select r.image_id, 'copy ' || c.original_id from rows_in_train as r join copies as c using (image_id)
    union all
    select r.image_id, 'copy ' || r.image_id
    from rows_in_train as r
    where r.image_id in (select original_id from copies)
    union all
    select image_id, 'group ' || group_value
    from groups
    semi join rows_in_train using (image_id)
    where group_value is not null
)
select image_id, link
from links
order by image_id, link
