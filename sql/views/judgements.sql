-- One row per image that a person keeps or drops, by the last that was said of it. A verdict whose image is gone, or has other
-- bytes, also holds for the picture's new ids (given_for is the old one), where it is clear which those are.
with latest as (
    select image_id, content_id, verdict, why, created_at
    from data.verdicts
    where verdict <> 'relabel'
    qualify row_number() over (partition by image_id order by created_at desc) = 1
),
pictures as (
    -- without columns of the user's, which may have any name
    select image_id, content_id, parse_filename(path) as file_name from data.images
),
left_behind as (
    select l.*, parse_filename(l.image_id) as file_name, count(*) over (partition by l.content_id) as of_content,
        count(*) over (partition by l.content_id, parse_filename(l.image_id)) as of_name,
        min(l.verdict) over (partition by l.content_id) = max(l.verdict) over (partition by l.content_id) as agree
    from latest as l
    anti join pictures as p on p.image_id = l.image_id and p.content_id = l.content_id
    where l.verdict <> 'unset'
),
unjudged as (
    select p.*, count(*) over (partition by content_id) as of_content,
        count(*) over (partition by content_id, file_name) as of_name
    from pictures as p
    semi join left_behind using (content_id)
    anti join latest using (image_id)
),
moved as (
    select u.image_id, b.image_id as given_for, b.verdict, b.why, b.created_at
    from unjudged as u
    join left_behind as b using (content_id)
    where (b.agree and u.of_content <= b.of_content) or (u.file_name = b.file_name and u.of_name = 1 and b.of_name = 1)
    qualify row_number() over (
        partition by u.image_id order by u.file_name = b.file_name desc, b.created_at desc, b.image_id
    ) = 1
)
select v.image_id, v.verdict, v.why, v.created_at, v.content_id is distinct from i.content_id as is_stale,
    v.image_id as given_for
from latest as v
join pictures as i using (image_id)
where v.verdict <> 'unset'
union all
select image_id, verdict, why, created_at, false, given_for
from moved
