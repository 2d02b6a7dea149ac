-- One row: which parts a report can show.
select
    (select count(*) from images) as images,
    (select count(distinct label) from images) as labels,
    (select count(*) from failures) as failures,
    (select count(*) from feature_sets) as feature_sets,
    (select count(*) from scores) as scores,
    (select count(*) from runs) as runs,
    (select count(*) from copies) as copies,
    (select count(*) from steps where step = 'copies') as looked_for_copies,
    (select count(*) from verdicts) as verdicts
