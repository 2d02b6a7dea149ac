-- One row per suspect with a sign against it that nobody has judged yet, the most suspicious first.
select s.rank, s.image_id, i.content_id, i.path, s.label, s.suggested, s.sentence, count(*) over () as of_all
from suspects as s
join images as i using (image_id)
where s.verdict is null and (s.suggested is not null or s.imagenet < 0.5 or s.clip_quality < 0)
order by s.rank
limit $most
