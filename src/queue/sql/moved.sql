-- Sessions that have moved since some moment, for the publisher: those of jobs that have ended since
-- then, the completed ones and the failed ones for themselves, oldest first; and on the first page
-- those that live_sessions refused, those that are being rated, and those of jobs that have just
-- been inserted, as their ids tell. The moment is at least a minute before the one up to which all
-- was carried (caught_up.sql). `recent` ones are still to be watched.
PREPARE moved (
	timestamptz,	-- $1: completed since; -infinity: the first page
	timestamptz,	-- $2: failed since
	int,		-- $3: so many of each at most; 0: none
	int		-- $4
) AS
WITH mark AS MATERIALIZED (
	SELECT coalesce(max(caught_up_at) - interval '1 minute', '-infinity') AS at
	FROM grading_channels WHERE name = 'mirror'
)
SELECT * FROM (
	SELECT 1 AS kind, session_id, completed_at AS at,
		completed_at > now() - interval '5 minutes' AS recent
	FROM grading_jobs
	WHERE status::text = 'completed'
		AND completed_at >= greatest($1::timestamptz, (SELECT at FROM mark))
	ORDER BY completed_at LIMIT $3::int
) AS completed
UNION ALL
SELECT * FROM (
	SELECT 2, session_id, failed_at, failed_at > now() - interval '5 minutes'
	FROM grading_jobs
	WHERE status::text = 'failed'
		AND failed_at >= greatest($2::timestamptz, (SELECT at FROM mark))
	ORDER BY failed_at LIMIT $4::int
) AS failed
UNION ALL
SELECT * FROM (
	SELECT 3, session_id, refused_at, false FROM grading_mirrors
	WHERE $1::timestamptz = '-infinity' LIMIT 1000
) AS refused
UNION ALL
SELECT * FROM (
	SELECT DISTINCT 0, session_id, now(), true FROM grading_jobs
	WHERE status::text = 'processing' AND $1::timestamptz = '-infinity' LIMIT 1000
) AS held
UNION ALL
SELECT DISTINCT 0, session_id, now(), true FROM (
	SELECT session_id FROM grading_jobs
	WHERE $1::timestamptz = '-infinity'
		AND id >= (lpad(to_hex((extract(epoch FROM now() - interval '30 s')
			* 1000::numeric)::bigint), 12, '0') || repeat('0', 20))::uuid
		AND id < (lpad(to_hex((extract(epoch FROM now() + interval '30 s')
			* 1000::numeric)::bigint), 12, '0') || repeat('0', 20))::uuid
	ORDER BY id DESC LIMIT 1000
) AS fresh;
