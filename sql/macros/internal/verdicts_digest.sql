-- One digest over what persons keep and drop.
create macro verdicts_digest() as table
    select count(*) || ':' || coalesce(bit_xor(md5_number(image_id || chr(31) || verdict)), 0) as digest
    from judgements;
