-- One row per scorer whose scores the store has.
select name as scorer from steps where step = 'score' order by name
