-- How many rows a plan had before a change.
select count(*) as images from before
