-- Jobs as queue_claimed_row() reads them: of :rows, with what was claimed as c, and their places in
-- :place. :beside is joined, or nothing. job_data above :cap bytes is not fetched, nor what is not
-- :readable. What is huge is not even turned into text, which has a limit of 1 GB; || makes a copy
-- that is not compressed, so that its size is the true one. The result of earlier attempts comes
-- along, so that the next one can add to what they took.
SELECT :place.id, c.session_id, c.claim, c.times_claimed::int, coalesce(c.attempts, 0),
	coalesce(c.max_attempts, 3), c.counted_as, c.job_type, :place.priority, :place.available_at,
	CASE WHEN t.data IS NOT NULL THEN octet_length(t.data)
		WHEN :readable THEN pg_catalog.pg_column_size(c.job_data || '{}'::jsonb)
		ELSE pg_catalog.pg_column_size(c.job_data) END::bigint,
	CASE WHEN octet_length(t.data) <= :cap::int THEN t.data END,
	CASE WHEN jsonb_typeof(c.result) = 'object' AND pg_catalog.pg_column_size(c.result) < 8192
		THEN (c.result - 'unrated'::text)::text END
FROM :beside :rows
LEFT JOIN LATERAL (
	SELECT CASE WHEN pg_catalog.pg_column_size(c.job_data) < 8192
		OR :readable AND pg_catalog.pg_column_size(c.job_data || '{}'::jsonb) <= 16777216
		THEN c.job_data::text END AS data
	OFFSET 0
) t ON true
ORDER BY :place.priority DESC, :place.available_at, :place.id
