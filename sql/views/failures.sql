-- One row per catalogue row and step that failed, with the user's own columns.
select * from data.failures
