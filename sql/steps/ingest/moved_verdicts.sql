-- One row per verdict to record for a picture that comes to an id: what was last said of it where it was before. Where several
-- ids of one content go or come, the path or the file name says which is which, or all that go were judged alike.
with latest as (
    select image_id, content_id, verdict, why, created_at, coalesce(given_for, image_id) as given_for
    from data.verdicts
    where verdict <> 'relabel'
    qualify row_number() over (partition by image_id order by created_at desc) = 1
),
lost as (
    -- of pictures that had gone before
    select image_id, content_id from lost_verdicts where verdict <> 'relabel'
),
judged as (
    -- few: of all other contents, nothing has to be held
    select content_id from stored semi join latest using (image_id)
    union
    select content_id from lost
),
wanted as (
    -- without columns of the user's, which may have any name
    select image_id, content_id, path, parse_filename(path) as file_name from ready semi join judged using (content_id)
),
had as (
    select image_id, content_id, path, parse_filename(path) as file_name from stored semi join judged using (content_id)
),
goes as (
    select * from had anti join wanted using (image_id, content_id)
    union all
    select image_id, content_id, null, parse_filename(image_id) from lost
),
leaving as (
    select g.*, coalesce(v.verdict, 'unset') as verdict, v.content_id as judged_content, v.why, v.created_at, v.given_for,
        count(*) over (partition by g.content_id) as of_content,
        count(*) over (partition by g.content_id, g.file_name) as of_name,
        min(coalesce(v.verdict, 'unset')) over (partition by g.content_id)
        = max(coalesce(v.verdict, 'unset')) over (partition by g.content_id) as agree
    from goes as g
    left join latest as v using (image_id)
),
coming as (
    select *, count(*) over (partition by content_id) as of_content,
        count(*) over (partition by content_id, file_name) as of_name
    from wanted
    anti join had using (image_id, content_id)
)
select c.image_id, g.judged_content as content_id, g.verdict, g.why, $now::timestamptz as created_at, null::varchar as label,
    g.given_for
from coming as c
join leaving as g using (content_id)
left join latest as own on own.image_id = c.image_id
where (
        g.path = c.path
        or (g.file_name = c.file_name and g.of_name = 1 and c.of_name = 1)
        or (g.agree and c.of_content <= g.of_content)
    )
    and g.given_for is not null
    -- what is there under the new id, from an earlier time, may be said already, or later
    and g.verdict <> coalesce(own.verdict, 'unset')
    and (own.content_id is distinct from c.content_id or own.created_at < g.created_at)
qualify row_number() over (
    partition by c.image_id order by (g.path = c.path) is true desc, g.file_name = c.file_name desc, g.created_at desc, g.image_id
) = 1
order by c.image_id
