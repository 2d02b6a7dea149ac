-- One row per verdict to record for a picture that comes to an id: what was last said of it where it was before. Where several
-- ids of one content go or come, the path or the file name says which is which, or all that go were judged alike.
with said as (
    select * from last_verdicts
),
judged as (
    -- few: of all other contents, nothing has to be held
    select distinct content_id from said where stands
),
had as (
    -- without columns of the user's, which may have any name
    select image_id, content_id, path, parse_filename(path) as file_name from stored semi join judged using (content_id)
),
wanted as (
    select image_id, content_id, path, parse_filename(path) as file_name from ready semi join judged using (content_id)
),
go as (
    select * from had anti join wanted using (image_id, content_id)
    union all
    -- what was said of pictures that had gone before
    select image_id, content_id, null, parse_filename(image_id)
    from said
    anti join had using (image_id, content_id)
    anti join wanted using (image_id, content_id)
    where stands and not (is_carried_on or is_replaced_elsewhere)
),
come as (
    select *
    from wanted
    anti join had using (image_id, content_id)
    anti join (from said where stands and not is_carried_on) using (image_id, content_id)
),
leaving as (
    select g.*, if(s.stands, s.verdict, 'unset') as verdict from go as g left join said as s using (image_id, content_id)
),
by_path as (
    select g.image_id as old_id, c.image_id, content_id
    from (select * from leaving qualify count(*) over (partition by content_id, path) = 1) as g
    join (select * from come qualify count(*) over (partition by content_id, path) = 1) as c using (content_id, path)
),
leaving_then as (
    select * from leaving as g anti join by_path as p on p.old_id = g.image_id and p.content_id = g.content_id
),
come_then as (
    select * from come anti join by_path using (image_id, content_id)
),
by_name as (
    select g.image_id as old_id, c.image_id, content_id
    from (select * from leaving_then qualify count(*) over (partition by content_id, file_name) = 1) as g
    join (select * from come_then qualify count(*) over (partition by content_id, file_name) = 1) as c
        using (content_id, file_name)
),
leaving_last as (
    select *, row_number() over (partition by content_id order by image_id) as place,
        count(*) over (partition by content_id) as of_content,
        min(verdict) over (partition by content_id) = max(verdict) over (partition by content_id) as agree
    from leaving_then as g
    anti join by_name as p on p.old_id = g.image_id and p.content_id = g.content_id
),
come_last as (
    select *, row_number() over (partition by content_id order by image_id) as place,
        count(*) over (partition by content_id) as of_content
    from come_then
    anti join by_name using (image_id, content_id)
),
pairs as (
    from by_path
    union all
    from by_name
    union all
    select g.image_id, c.image_id, content_id
    from leaving_last as g
    join come_last as c using (content_id, place)
    where g.agree and c.of_content <= g.of_content
)
select p.image_id, p.content_id, if(s.stands, s.verdict, 'unset') as verdict, s.why, $now::timestamptz as created_at,
    null::varchar as label, s.given_for, p.old_id
from pairs as p
join said as s on s.image_id = p.old_id and s.content_id = p.content_id
left join said as own on own.image_id = p.image_id and own.content_id = p.content_id
where s.stands or own.stands -- what was said of it under that id in an earlier time no longer holds
order by p.image_id
