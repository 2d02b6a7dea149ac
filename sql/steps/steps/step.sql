-- The record of a step, if it has ever finished.
select * from steps where step = $step and name = $name
