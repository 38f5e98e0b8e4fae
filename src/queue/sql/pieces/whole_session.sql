-- For the job c, if it is :of_whole, what its session as a whole is graded by, as one document: how
-- far it is, and when it is over its ratings, in their order, with the first characters of their
-- reasons. More lines than a worker reads, or more bytes than :cap, are counted and not fetched. A
-- job that is not yet to be graded costs one look at its session.
CASE WHEN :of_whole AND c.session_id IS NOT NULL THEN (
	SELECT pg_catalog.jsonb_build_object('status'::text, p.status,
		'batches'::text, p.batches_total, 'done'::text, p.batches_done,
		'failed'::text, p.batches_failed, 'unrated'::text, p.lines_failed,
		'bytes'::text, size.bytes, 'upto'::text, size.upto, 'lines'::text, rated.lines)::text
	FROM (VALUES (true)) AS one
	LEFT JOIN LATERAL (
		SELECT s.* FROM grading_progress(c.session_id) AS s OFFSET 0
	) AS p ON true
	LEFT JOIN LATERAL (
		SELECT sum(octet_length(r.line_text))::bigint AS bytes, max(r.seq) AS upto,
			count(*) AS n
		FROM line_ratings r WHERE r.session_id = c.session_id
	) AS size ON p.status = 'completed' OR p.status = 'failed'
	LEFT JOIN LATERAL (
		SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.line_index, r.line_text,
			r.rating, left(r.reason, 200)) ORDER BY r.line_index) AS lines
		FROM line_ratings r WHERE r.session_id = c.session_id
	) AS rated ON size.n <= 10000 AND size.bytes <= :cap::int
) END
