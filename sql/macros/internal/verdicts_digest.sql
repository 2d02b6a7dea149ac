-- One digest over the standing verdicts.
create macro verdicts_digest() as table
    select count(*) || ':' || coalesce(bit_xor(md5_number(image_id || chr(31) || verdict || coalesce(chr(31) || label, ''))), 0) as digest
    from verdicts;
