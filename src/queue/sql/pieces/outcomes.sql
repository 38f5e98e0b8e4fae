-- What became of the jobs that were asked for, as queue/chore.h reads it. CTEs: `asked`, with
-- :still_there for those that are as they were found; `taken`, those of them that could be locked,
-- with whatever else is changed along with them; `put`, of these those that were changed, with
-- their new status. What a trigger swallows, or makes another status of, is refused.
SELECT place, CASE status::text WHEN 'pending' THEN 'done' WHEN 'failed' THEN 'failed'
	ELSE 'refused' END AS outcome
FROM put
UNION ALL
SELECT place, 'refused' FROM taken
WHERE NOT EXISTS (SELECT FROM put WHERE put.place = taken.place)
UNION ALL
SELECT asked.place, 'locked'
FROM asked JOIN grading_jobs g ON g.id = asked.id AND g.claim = asked.claim
WHERE g.id = ANY(ARRAY(SELECT id FROM asked)) AND :still_there
	AND NOT EXISTS (SELECT FROM taken WHERE taken.place = asked.place)
