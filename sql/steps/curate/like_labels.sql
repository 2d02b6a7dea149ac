-- One row per new label (table new_labels) and the label of an image most like it, if one is much like it. Labels of more than
-- 100 characters are left out: they would take long to compare.
with known as (
    select distinct label as known from images where length(label) <= 100
),
pairs as (
    select n.label, k.known, jaro_winkler_similarity(n.label, k.known) as likeness
    from new_labels as n, known as k
    where length(n.label) <= 100
)
select label, max({'likeness': likeness, 'known': known}).known as known
from pairs
where likeness >= 0.85
group by label
order by label
