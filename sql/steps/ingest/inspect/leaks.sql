-- One row per plan and kinds of copies whose images stand in different splits, with one group of them.
select
    plan, array_to_string(kinds, ', ') as kinds, count(*) as groups, sum(len(images))::bigint as images,
    array_to_string(arg_min(images, original_id), ', ') as for_instance
from divided_copies
group by plan, kinds
order by plan, groups desc, kinds
