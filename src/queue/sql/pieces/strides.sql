-- How many lines a full batch of a session has, for the sessions of a CTE `claimed`. Each job says
-- how many lines it has, and the last one may have fewer, so the largest number counts. That
-- another batch is there shows that one of them is not the last. Open jobs tell, and those that have
-- failed, of which some were never read; and the session's row, for those that are settled. Their
-- indexes want their conditions as they say them.
strides AS (
	SELECT told.session_id, max(told.stride) AS stride FROM (
		SELECT sibling.session_id,
			CASE WHEN min(n.batch) < max(n.batch) THEN max(n.size) END AS stride
		FROM (
			SELECT g.session_id, g.job_data FROM grading_jobs g
			WHERE g.session_id = ANY(ARRAY(SELECT session_id FROM claimed))
				AND (g.status::text = 'pending'::text
					OR g.status::text = 'processing'::text) IS TRUE
				AND (g.job_type::text <> 'full_grading'
					OR g.job_data ? 'transcript'::text) IS NOT FALSE
			UNION ALL
			SELECT g.session_id, g.job_data FROM grading_jobs g
			WHERE g.session_id = ANY(ARRAY(SELECT session_id FROM claimed))
				AND (g.status::text = 'failed'::text
					OR g.status::text = 'completed'::text
					AND (g.error IS NOT NULL OR g.counted_as
						IS DISTINCT FROM 'completed'::text)) IS TRUE
				AND (g.job_type::text <> 'full_grading'
					OR g.job_data ? 'transcript'::text) IS NOT FALSE
		) AS sibling CROSS JOIN LATERAL (
			SELECT sibling.job_data -> 'batchIndex'::text AS batch,
				coalesce(nullif(sibling.job_data -> 'batchSize'::text,
					'null'::jsonb), '5'::jsonb) AS size
		) says CROSS JOIN LATERAL (
			SELECT least(greatest((says.batch #>> '{}'::text[])::numeric,
					(-1)::numeric), 2147483647::numeric)::int AS batch,
				CASE WHEN jsonb_typeof(says.size) = 'number'::text
					THEN least(greatest((says.size #>> '{}'::text[])::numeric,
						0::numeric), 2147483647::numeric)::int END AS size
			WHERE jsonb_typeof(says.batch) = 'number'::text
		) n
		GROUP BY sibling.session_id
		UNION ALL
		SELECT s.session_id, s.stride FROM grading_sessions s
		WHERE s.session_id = ANY(ARRAY(SELECT session_id FROM claimed))
	) AS told
	GROUP BY told.session_id
)
