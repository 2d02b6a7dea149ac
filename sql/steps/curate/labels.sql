-- One row per label that an image has, or has in the catalogue.
select label from images where label is not null
union
select given_label from images where given_label is not null
order by label
