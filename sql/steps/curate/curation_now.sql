-- One row per image of a plan as it was last replayed.
select image_id, rule, split from data.curation where plan = $plan
