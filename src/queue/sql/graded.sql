-- Equal sessions that were graded as a whole lately, the latest of each key.
PREPARE graded (
	text[],		-- $1: keys
	bigint		-- $2: ms that what was said of one serves another
) AS
SELECT DISTINCT ON (w.cache_key) w.cache_key, w.grading::text,
	CASE WHEN jsonb_typeof(w.provenance) = 'object' THEN w.provenance::text END,
	pg_catalog.to_jsonb(w.given_at) #>> '{}'::text[]
FROM session_gradings w
WHERE w.cache_key = ANY($1::text[])
	AND w.given_at > now() - $2::bigint::float8 * interval '1 ms'
ORDER BY w.cache_key, w.given_at DESC;
