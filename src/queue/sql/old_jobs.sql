-- Finished jobs that were kept long enough, by their ids: what clean_jobs.sql deletes. Oldest
-- first, from some moment on, the completed ones and the failed ones for themselves.
PREPARE old_jobs (
	bigint,		-- $1: ms that completed jobs are kept; 0: for ever
	timestamptz,	-- $2: those from this moment on,
	int,		-- $3: so many at most
	bigint,		-- $4: the same for failed jobs
	timestamptz,	-- $5
	int		-- $6
) AS
SELECT * FROM (
	SELECT false AS failed, id, session_id, completed_at AS at FROM grading_jobs
	WHERE $1::bigint > 0 AND status::text = 'completed' AND completed_at >= $2::timestamptz
		AND completed_at < now() - interval '1 ms' * $1::bigint::float8
	ORDER BY completed_at LIMIT $3::int
) AS completed
UNION ALL
SELECT * FROM (
	SELECT true, id, session_id, failed_at FROM grading_jobs
	WHERE $4::bigint > 0 AND status::text = 'failed' AND failed_at >= $5::timestamptz
		AND failed_at < now() - interval '1 ms' * $4::bigint::float8
	ORDER BY failed_at LIMIT $6::int
) AS failed;
