-- Jobs as queue_claimed_row() reads them: of :rows, with what was claimed as c, and their places in
-- :place. :beside is joined, or nothing. job_data above :cap bytes is not fetched, nor what is not
-- :readable. What is huge is not even turned into text, which has a limit of 1 GB; || makes a copy
-- that is not compressed, so that its size is the true one. The result of earlier attempts comes
-- along, so that the next one can add to what they took. Numbers of attempts
-- may be anything, in a column of any width.
--
-- CTE `strides` (strides.sql) is asked, once for all, if there is a job behind the first batch
-- whose first line has no index of its own, which costs less to see than to read all. Where that
-- one has an index and others have none the job waits once, and has the mark that grading/result.c
-- makes.
SELECT :place.id, c.session_id, c.claim, c.times_claimed::int,
	least(greatest(coalesce(c.attempts, 0), 0), 2147483647)::int,
	least(greatest(coalesce(c.max_attempts, 3), 0), 2147483647)::int,
	c.counted_as, c.job_type,
	least(greatest(:place.priority, -2147483648), 2147483647)::int, :place.available_at,
	CASE WHEN t.data IS NOT NULL THEN octet_length(t.data)
		WHEN :readable THEN pg_catalog.pg_column_size(c.job_data || '{}'::jsonb)
		ELSE pg_catalog.pg_column_size(c.job_data) END::bigint,
	CASE WHEN octet_length(t.data) <= :cap::int THEN t.data END,
	CASE WHEN jsonb_typeof(c.result) = 'object' AND pg_catalog.pg_column_size(c.result) < 8192
		THEN (c.result - 'unrated'::text)::text END,
	CASE WHEN (t.data IS NOT NULL
			AND (c.job_data #> '{transcript,0}'::text[]
				?| '{index,line_number}'::text[]) IS NOT TRUE
			AND c.job_data -> 'batchIndex'::text <> '0'::jsonb
		OR c.result ? 'waited_for_batches'::text)
		THEN coalesce(((SELECT pg_catalog.jsonb_object_agg(session_id, stride)
				FROM strides) ->> c.session_id::text)::int, 0)
		ELSE 0 END,
	:place.turn::int,
	:whole_session
FROM :beside :rows
LEFT JOIN LATERAL (
	SELECT CASE WHEN pg_catalog.pg_column_size(c.job_data) < 8192
		OR :readable AND pg_catalog.pg_column_size(c.job_data || '{}'::jsonb) <= 16777216
		THEN c.job_data::text END AS data
	OFFSET 0
) t ON true
ORDER BY :place.priority DESC, :place.turn DESC, :place.available_at, :place.id
