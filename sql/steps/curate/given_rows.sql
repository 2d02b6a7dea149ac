-- One row per image still in train that goes into a split of the user's own (table given_split).
select image_id from candidates semi join given_split using (image_id) where split = 'train'
