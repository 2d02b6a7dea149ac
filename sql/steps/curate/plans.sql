-- One row per plan that has been replayed, by name.
select distinct plan from stages order by plan
