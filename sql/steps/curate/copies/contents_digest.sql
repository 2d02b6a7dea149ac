-- One digest over the contents of the images and their perceptual hashes.
select count(*) || ':' || coalesce(bit_xor(md5_number(content_id || chr(31) || coalesce(phash, ''))), 0) as digest
from (select distinct content_id, phash from images)
