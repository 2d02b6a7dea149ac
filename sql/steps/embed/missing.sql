-- One row per content that lacks a view it should have, of those whose ids begin as $first to $last do, with those views, all
-- files that hold it, and whether it could not be embedded before.
with lacking as (
    select content_id, list(view order by view) as views, any_value(failed_before) as failed_before
    from lacking_views($embedder, $views, $view_rows, $plan, $first, $last)
    group by content_id
)
select
    content_id, list(distinct i.path order by i.path) as paths, any_value(l.views) as views,
    any_value(l.failed_before) as failed_before
from lacking as l
join images as i using (content_id)
group by content_id
order by content_id
