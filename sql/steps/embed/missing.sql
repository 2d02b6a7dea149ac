-- One row per content that lacks a view it should have, with those views, all files that hold it, and whether it could not be
-- embedded before, as of an embed after the last ingest. View 0 is for all contents, 1 to $views for those of a plan's training
-- rows, or for all where $view_rows is 'all'.
with wanted as (
    select distinct content_id, 0 as view
    from images
    union all
    select distinct i.content_id, v.view
    from images as i, (select unnest(range(1, coalesce($views::int, 0) + 1))::int as view) as v
    where $view_rows = 'all'
        or i.image_id in (select image_id from labelled where plan = $plan and split = 'train')
),
lacking as (
    select content_id, list(view order by view) as views
    from wanted
    anti join (select content_id, view from data.embeddings where embedder = $embedder) as e using (content_id, view)
    group by content_id
),
failed as (
    select distinct i.content_id
    from failures as f
    join images as i using (image_id)
    where f.step = 'embed' and f.name = $embedder
        and (select max(created_at) from steps where step = 'embed' and name = $embedder)
            > (select max(created_at) from steps where step = 'ingest')
)
select
    content_id, list(distinct i.path order by i.path) as paths, any_value(l.views) as views,
    content_id in (from failed) as failed_before
from lacking as l
join images as i using (content_id)
group by content_id
order by content_id
