-- One row per content, of those whose ids begin as from_prefix to to_prefix do, and view that it should have in a feature set and
-- lacks, and whether it could not be embedded before, as of an embed after the last ingest; one dated after now, as by a clock that
-- was ahead, tells nothing. View 0 is for all contents, 1 to up_to for those of a plan's training rows, or for all where for_rows is
-- 'all'.
create macro lacking_views(in_embedder, up_to, for_rows, in_plan, from_prefix, to_prefix) as table
    with wanted as (
        select distinct content_id, 0 as view
        from images
        where substr(content_id, 1, 3) between from_prefix and to_prefix
        union all
        select distinct i.content_id, v.view
        from images as i, (select unnest(range(1, coalesce(up_to::int, 0) + 1))::int as view) as v
        where substr(i.content_id, 1, 3) between from_prefix and to_prefix
            and (for_rows = 'all' or i.image_id in (select image_id from labelled where plan = in_plan and split = 'train'))
    ),
    failed as (
        select distinct i.content_id
        from failures as f
        join images as i using (image_id)
        where f.step = 'embed' and f.name = in_embedder
            and (select max(created_at) from steps where step = 'embed' and name = in_embedder and created_at <= now())
                > (select max(created_at) from steps where step = 'ingest')
    )
    select content_id, view, content_id in (from failed) as failed_before
    from wanted
    anti join (select content_id, view from data.embeddings where embedder = in_embedder) as e using (content_id, view);
