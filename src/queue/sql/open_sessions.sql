-- Sessions with a job that waits or is being rated, by their ids from one on; for the publisher,
-- which has just started. From each to the next by the index: it has many jobs for one session.
PREPARE open_sessions (
	uuid,		-- $1: those behind this one,
	int		-- $2: so many at most
) AS
WITH RECURSIVE open AS (
	(SELECT session_id, 1 AS n FROM grading_jobs
	WHERE (status::text = 'pending' OR status::text = 'processing') IS TRUE
		AND session_id > $1::uuid
	ORDER BY session_id LIMIT 1)
	UNION ALL
	SELECT next.session_id, open.n + 1 FROM open CROSS JOIN LATERAL (
		SELECT g.session_id FROM grading_jobs g
		WHERE (g.status::text = 'pending' OR g.status::text = 'processing') IS TRUE
			AND g.session_id > open.session_id
		ORDER BY g.session_id LIMIT 1
	) next WHERE open.n < $2::int
)
SELECT session_id FROM open ORDER BY session_id;
