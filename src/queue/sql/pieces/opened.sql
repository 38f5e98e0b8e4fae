-- A session's first claim opens its row, so that a front end sees "processing". For the CTE
-- `claimed`.
opened AS (
	INSERT INTO grading_sessions (session_id, total_batches, started_at)
	SELECT c.session_id, max(CASE
		WHEN NOT :of_whole
			AND jsonb_typeof(c.job_data -> 'totalBatches'::text) = 'number'
		THEN least(greatest((c.job_data ->> 'totalBatches'::text)::numeric, 0), 1000000)::int
		ELSE 0 END), now()
	FROM claimed c WHERE c.session_id IS NOT NULL
	GROUP BY c.session_id ORDER BY c.session_id
	ON CONFLICT DO NOTHING
), begun AS (
	UPDATE grading_sessions SET started_at = now()
	WHERE session_id = ANY(ARRAY(
		SELECT session_id FROM grading_sessions
		WHERE started_at IS NULL AND session_id = ANY(ARRAY(SELECT session_id FROM claimed))
		ORDER BY session_id FOR UPDATE SKIP LOCKED))
)
