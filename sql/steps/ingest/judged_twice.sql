-- One row: how many pictures that a person keeps or drops are also there under an id of the new catalogue alone, while their
-- own is gone from it, with an example: the id to which the verdict applies then, which is the one it was given for where that
-- is there again, and the other one.
select
    count(*) as pictures,
    min(if(n.image_id = g.given_for, n.image_id, g.image_id)) as image_id,
    min_by(if(n.image_id = g.given_for, g.image_id, n.image_id), if(n.image_id = g.given_for, n.image_id, g.image_id)) as new_id
from (
    select j.image_id, j.given_for, s.content_id
    from judgements as j
    join stored as s using (image_id)
    anti join listed using (image_id)
) as g
join (
    select l.image_id, f.content_id
    from listed as l
    join files as f using (path)
    anti join judgements using (image_id)
) as n using (content_id)
