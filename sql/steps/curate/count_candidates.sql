-- How many images the stages so far have left.
select count(*) as images from state where rule is null
