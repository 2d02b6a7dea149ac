-- One row per ready image after a rule: what it hit is out, unless a person keeps it.
select
    s.image_id, s.content_id, s.label,
    if(h.image_id is null, s.rule, $rule) as rule,
    if(h.image_id is null, s.pass, $pass::integer) as pass,
    if(h.image_id is null, s.value, h.value) as value,
    if(h.image_id is null, s.threshold, h.threshold) as threshold,
    s.split, s.is_kept
from state as s
left join hits as h
    on h.image_id = s.image_id and s.rule is null and not s.is_kept
