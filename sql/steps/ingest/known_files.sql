-- One row per file examined under the decoding rules in force.
select * from files where decoding = $decoding
