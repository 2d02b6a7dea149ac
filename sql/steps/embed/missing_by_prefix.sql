-- One row per beginning of content ids: how many of the contents that begin so lack a view they should have, how many of those
-- lack the picture as it is, and how many views they lack in all; apart, those that could not be embedded before.
with lacking as (
    select content_id, min(view) as least, count(*) as views, any_value(failed_before) as failed_before
    from lacking_views($embedder, $views, $view_rows, $plan, '', chr(1114111))
    group by content_id
)
select
    substr(content_id, 1, 3) as prefix, failed_before, count(*) as contents, count(*) filter (least = 0) as pictures,
    sum(views)::bigint as views
from lacking
group by prefix, failed_before
order by prefix, failed_before
