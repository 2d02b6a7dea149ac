-- One row per file with more than 8 bits a sample that was read by earlier decoding rules, and may look different by those of now.
select path, content_id, mode, decoding
from files
where decoding < 2 and (mode like 'I%' or mode = 'F')
