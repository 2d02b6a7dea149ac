-- One row per label that differs from another only in blanks, in case or in its Unicode form, with how many images have it.
with counted as (
    select
        label, count(*) as images,
        lower(nfc_normalize(regexp_replace(label, '[\s\p{Z}\p{Cf}]+', '', 'g'))) as folded
    from images
    where label is not null
    group by label
)
select
    label, images, length(label) as characters,
    first(label) over (partition by folded order by images desc, label) as like_label
from counted
qualify count(*) over (partition by folded) > 1
order by folded, images desc, label
