-- The jobs of a CTE `claimed` as queue_claimed_row() reads them. :beside is joined, or nothing.
-- job_data above $2 bytes is not fetched. What is huge is not even turned into text, which has a
-- limit of 1 GB; || makes a copy that is not compressed, so that its size is the true one. The
-- result of earlier attempts comes along, so that the next one can add to what they took.
SELECT c.id, c.session_id, c.claim, c.times_claimed::int, coalesce(c.attempts, 0),
	coalesce(c.max_attempts, 3), c.counted_as, c.job_type, c.priority, c.available_at,
	CASE WHEN t.data IS NULL THEN pg_column_size(c.job_data || '{}')
		ELSE octet_length(t.data) END::bigint,
	CASE WHEN octet_length(t.data) <= $2::int THEN t.data END,
	CASE WHEN jsonb_typeof(c.result) = 'object' AND pg_column_size(c.result) < 8192
		THEN (c.result - 'unrated')::text END
FROM :beside claimed c
LEFT JOIN LATERAL (
	SELECT CASE WHEN pg_column_size(c.job_data) < 8192
		OR pg_column_size(c.job_data || '{}') <= 16777216 THEN c.job_data::text END AS data
	OFFSET 0
) t ON true
ORDER BY c.priority DESC, c.available_at, c.id
