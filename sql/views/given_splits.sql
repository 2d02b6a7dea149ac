-- One row per plan and split that is the catalogue's own: the rows where a condition holds.
select plan, name as split
from data.stages
where kind = 'split' and json_valid(settings) and settings->>'where' is not null
