-- Deletes expired entries of the phrase cache, if it is our turn; the answer is that of
-- queue/chore.h. Where another entry has come to lie it is looked at again.
\set briefly `cat pieces/briefly.sql`
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_cache (
	bigint,		-- $1: ms that an entry lives
	text[]		-- $2: the places, as tids
) AS
WITH asked AS MATERIALIZED (
	SELECT a.at::tid AS at, a.place
	FROM pg_catalog.unnest($2::text[]) WITH ORDINALITY AS a(at, place), (:briefly) AS locks
	WHERE briefly IS NOT NULL AND (SELECT :cleaning)
), old AS MATERIALIZED (
	SELECT c.ctid AS at FROM phrase_cache c
	WHERE c.ctid = ANY(ARRAY(SELECT at FROM asked))
		AND c.created_at < now() - interval '1 ms' * $1::bigint::float8
), taken AS MATERIALIZED (
	SELECT c.ctid AS at FROM phrase_cache c
	WHERE c.ctid = ANY(ARRAY(SELECT at FROM old))
		AND c.created_at < now() - interval '1 ms' * $1::bigint::float8
	FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM phrase_cache c WHERE c.ctid = ANY(ARRAY(SELECT at FROM taken))
	RETURNING c.ctid AS at
)
SELECT asked.place, CASE WHEN asked.at = ANY(ARRAY(SELECT at FROM gone)) THEN 'done'
	WHEN asked.at = ANY(ARRAY(SELECT at FROM taken)) THEN 'refused' ELSE 'locked' END
FROM asked WHERE asked.at = ANY(ARRAY(SELECT at FROM old));
