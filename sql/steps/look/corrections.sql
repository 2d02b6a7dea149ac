-- One row per content whose label a person corrected or confirmed.
select content_id, label from corrections
