-- Deletes leases of lost hosts that nobody took over, if it is our turn; the answer is that of
-- queue/chore.h.
\set briefly `cat pieces/briefly.sql`
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_flights (
	text[]		-- $1: the keys
) AS
WITH asked AS MATERIALIZED (
	SELECT a.* FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS a(key, place),
		(:briefly) AS locks
	WHERE briefly IS NOT NULL AND (SELECT :cleaning)
), old AS MATERIALIZED (
	SELECT f.cache_key AS key FROM phrase_flights f
	WHERE f.cache_key = ANY(ARRAY(SELECT key FROM asked))
		AND f.until < now() - interval '1 minute'
), taken AS MATERIALIZED (
	SELECT f.cache_key AS key FROM phrase_flights f
	WHERE f.cache_key = ANY(ARRAY(SELECT key FROM old))
		AND f.until < now() - interval '1 minute'
	ORDER BY f.cache_key FOR UPDATE OF f SKIP LOCKED
), gone AS (
	DELETE FROM phrase_flights f WHERE f.cache_key = ANY(ARRAY(SELECT key FROM taken))
	RETURNING f.cache_key AS key
)
SELECT asked.place, CASE WHEN asked.key = ANY(ARRAY(SELECT key FROM gone)) THEN 'done'
	WHEN asked.key = ANY(ARRAY(SELECT key FROM taken)) THEN 'refused' ELSE 'locked' END
FROM asked WHERE asked.key = ANY(ARRAY(SELECT key FROM old));
