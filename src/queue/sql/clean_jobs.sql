-- Deletes a small batch of finished jobs that were kept long enough.
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_jobs (
	bigint,		-- $1: ms that completed jobs are kept; 0: for ever
	bigint,		-- $2: ms that failed jobs are kept; 0: for ever
	int		-- $3: so many of each at most
) AS
WITH turn AS MATERIALIZED (
	SELECT :cleaning AS mine
), old AS (
	(SELECT id FROM grading_jobs, turn
	WHERE mine AND $1::bigint > 0 AND status = 'completed'
		AND completed_at < now() - $1::bigint * interval '1 ms'
	ORDER BY completed_at LIMIT $3::int FOR UPDATE OF grading_jobs SKIP LOCKED)
), failed AS (
	(SELECT id FROM grading_jobs, turn
	WHERE mine AND $2::bigint > 0 AND status = 'failed'
		AND failed_at < now() - $2::bigint * interval '1 ms'
	ORDER BY failed_at LIMIT $3::int FOR UPDATE OF grading_jobs SKIP LOCKED)
), gone AS (
	DELETE FROM grading_jobs
	WHERE id = ANY(ARRAY(SELECT id FROM old UNION ALL SELECT id FROM failed))
	RETURNING 1
)
SELECT count(*) FROM gone;
