-- One row per class, the largest first.
select
    label, count(*) as images, round(100 * count(*) / sum(count(*)) over (), 2) as percent,
    count(*) filter (is_grey) as grey,
    count(*) - count(distinct content_id) as exact_copies
from images
group by label
order by images desc, label
