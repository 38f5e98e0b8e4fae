-- Up to $1 jobs, locked, from the spans of the index that $2 to $5 describe, in their order. A
-- class is a priority and a turn (queue/turns.h). Where the priorities $2 and $3 are one and the
-- turns $4 and $5 as well, a span is that class: it begins at the claim floor $6 and $7
-- (scoreboard/floor.h), which is no nearer than $8 ms; but not before $9 and $10, since what lies
-- there is passed (scoreboard/pass.h). Other spans lie between known classes, and are looked
-- through from the start: the turns between $4 and $5 of one priority, or the priorities between $2
-- and $3. No row comparison says where they end, since a scan stops at its first column only.
-- :columns are of g. Who claims so waits 200 ms for a lock.
SELECT due.* FROM (SELECT set_config('lock_timeout', '200ms', true)) AS briefly
CROSS JOIN LATERAL (
	SELECT f.low, f.high, f.turn_low, f.turn_high, greatest(begins, passed) AS available_at,
		CASE WHEN (passed, passed_id) > (begins, f.id) THEN passed_id ELSE f.id END AS id
	FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::timestamptz[],
			$7::uuid[], $9::timestamptz[], $10::uuid[])
		AS f(low, high, turn_low, turn_high, available_at, id, passed, passed_id)
	CROSS JOIN LATERAL (
		SELECT least(f.available_at, now() - $8::bigint::float8 * interval '1 ms') AS begins
	) AS back
) AS span
CROSS JOIN LATERAL (
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE span.low < span.high AND g.status::text = 'pending'
			AND g.available_at <= now()
			AND g.priority > span.low AND g.priority < span.high
		ORDER BY g.priority DESC, g.turn DESC, g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS priorities
	UNION ALL
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE span.low = span.high AND span.turn_low < span.turn_high
			AND g.status::text = 'pending' AND g.available_at <= now()
			AND g.priority = span.low
			AND g.turn > span.turn_low AND g.turn < span.turn_high
		ORDER BY g.turn DESC, g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS turns
	UNION ALL
	SELECT * FROM (
		SELECT :columns FROM grading_jobs g
		WHERE span.low = span.high AND span.turn_low = span.turn_high
			AND g.status::text = 'pending' AND g.available_at <= now()
			AND g.priority = span.low AND g.turn = span.turn_low
			AND (g.available_at, g.id) >= (span.available_at, span.id)
		ORDER BY g.available_at, g.id
		LIMIT $1::int FOR UPDATE SKIP LOCKED
	) AS class
) AS due
LIMIT $1::int
