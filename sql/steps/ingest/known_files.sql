-- One row per file examined under decoding rules that hold.
select * from files where decoding in (select unnest($decoding::integer[]))
