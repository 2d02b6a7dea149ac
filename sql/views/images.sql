-- One row per readable row of the catalogue, with the user's own columns; label is a person's correction where there is one.
select i.* replace (coalesce(c.label, i.label) as label), i.label as given_label
from (select columns(lambda name: lower(name) <> 'given_label') from given_images) as i
left join corrections as c using (content_id)
