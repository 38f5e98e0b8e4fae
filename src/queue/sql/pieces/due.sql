-- Up to $1 jobs by priority, then age, locked. $2 to $5 are the claim floors (scoreboard/floor.h),
-- highest priority first. For each, the scan begins at its floor, which is no nearer than $6 ms;
-- but not before $7 and $8, since what lies there is passed (scoreboard/pass.h). What lies between
-- two known priorities ($3 is the known one above) is looked through from the start. The last row
-- has no priority and stands for all below. :columns are of g. Who claims so waits 200 ms for a
-- lock.
SELECT due.* FROM (SELECT set_config('lock_timeout', '200ms', true)) AS briefly
CROSS JOIN LATERAL (
	SELECT f.priority, f.above, greatest(begins, passed) AS available_at,
		CASE WHEN (passed, passed_id) > (begins, f.id) THEN passed_id ELSE f.id END AS id
	FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::uuid[],
			$7::timestamptz[], $8::uuid[])
		AS f(priority, above, available_at, id, passed, passed_id)
	CROSS JOIN LATERAL (
		SELECT least(f.available_at, now() - $6::bigint::float8 * interval '1 ms') AS begins
	) AS back
) AS floor
CROSS JOIN LATERAL (
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE g.status::text = 'pending' AND g.available_at <= now()
			AND g.priority > floor.priority AND g.priority < floor.above
		ORDER BY g.priority DESC, g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS unknown
	UNION ALL
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE g.status::text = 'pending' AND g.available_at <= now()
			AND g.priority = floor.priority
			AND (g.available_at, g.id) >= (floor.available_at, floor.id)
		ORDER BY g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS known
) AS due
LIMIT $1::int
