-- Up to $1 jobs by priority, then age, locked. $3 to $6 are the claim floors (scoreboard/floor.h),
-- highest priority first. For each, the scan begins at its floor. What lies between two known
-- priorities ($4 is the known one above) is looked through from the start. The last row has no
-- priority and stands for all below. No floor is nearer than $7 ms. The jobs $8 are left alone.
-- :columns are of g.
SELECT due.* FROM unnest($3::bigint[], $4::bigint[], $5::timestamptz[], $6::uuid[])
	AS floor(priority, above, available_at, id)
CROSS JOIN LATERAL (
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE g.status = 'pending' AND g.available_at <= now()
			AND g.priority > floor.priority AND g.priority < floor.above
			AND g.id <> ALL($8::uuid[])
		ORDER BY g.priority DESC, g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS unknown
	UNION ALL
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE g.status = 'pending' AND g.available_at <= now()
			AND g.priority = floor.priority AND g.id <> ALL($8::uuid[])
			AND (g.available_at, g.id) >=
				(least(floor.available_at, now() - $7::bigint * interval '1 ms'),
					floor.id)
		ORDER BY g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS known
) AS due
LIMIT $1::int
