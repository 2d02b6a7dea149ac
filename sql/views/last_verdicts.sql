-- One row per image and bytes of it that a person judged: the last that was said of them. It stands unless it was withdrawn
-- for this id or for another one that ingest carried it to or from. given_for: the id that a person gave it for. is_carried_on:
-- ingest has recorded it for a later id. is_replaced_here: a person has judged this image since, with other bytes.
-- is_replaced_elsewhere: a person has since judged another image of these bytes, and that stands.
with said as (
    select image_id, content_id, verdict, why, created_at, coalesce(given_for, image_id) as given_for,
        given_for is null as by_person
    from data.verdicts
    where verdict <> 'relabel'
),
dated as (
    select *,
        max(created_at) filter (by_person and verdict = 'unset') over (partition by image_id) as withdrawn_at,
        max(created_at) filter (by_person) over (partition by image_id) as judged_at,
        max(created_at) filter (not by_person) over carried as carried_at,
        arg_max(image_id, created_at) filter (not by_person) over carried as carried_to
    from said
    window carried as (partition by given_for, content_id)
    qualify row_number() over (partition by image_id, content_id order by created_at desc) = 1
),
judged as (
    select d.*,
        d.verdict <> 'unset'
        and (d.withdrawn_at > d.created_at) is not true
        and (o.by_person and o.created_at > d.created_at) is not true
        and (
            (d.carried_at > d.created_at) is not true
            or (n.created_at = d.carried_at and n.verdict <> 'unset' and (n.withdrawn_at > n.created_at) is not true)
        ) as stands
    from dated as d
    left join dated as o on o.image_id = d.given_for and o.content_id = d.content_id -- the one that a person gave
    left join dated as n on n.image_id = d.carried_to and n.content_id = d.content_id -- the one that ingest recorded last
),
there as (
    -- of bytes that an image has: when a person last judged that image
    select content_id, max(created_at) as judged_at
    from judged
    join (select image_id, content_id from data.images) using (image_id, content_id)
    where by_person and stands
    group by content_id
)
select j.image_id, j.content_id, j.verdict, j.why, j.created_at, j.given_for, j.stands,
    (j.carried_at > j.created_at) is true as is_carried_on,
    (j.judged_at > j.created_at) is true as is_replaced_here,
    (t.judged_at > j.created_at) is true as is_replaced_elsewhere
from judged as j
left join there as t on t.content_id = j.content_id
