-- Deletes expired entries from some pages of the phrase cache, and says how many there were, how
-- many pages the table has, and whether it was our turn. The table is walked through, since an
-- index by age would be paid for with each entry. With them go leases of lost hosts that nobody
-- took over.
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_cache (
	bigint,		-- $1: ms that an entry lives
	bigint,		-- $2: the first page
	bigint		-- $3: and the one behind the last
) AS
WITH turn AS MATERIALIZED (
	SELECT :cleaning AS mine
), gone AS (
	DELETE FROM phrase_cache WHERE ctid = ANY(ARRAY(
		SELECT c.ctid FROM phrase_cache c
		WHERE (SELECT mine FROM turn)
			AND c.ctid >= format('(%s,0)', $2::bigint)::tid
			AND c.ctid < format('(%s,0)', $3::bigint)::tid
			AND c.created_at < now() - $1::bigint * interval '1 ms'
		FOR UPDATE SKIP LOCKED))
	RETURNING 1
), lapsed AS (
	DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY(
		SELECT cache_key FROM phrase_flights
		WHERE (SELECT mine FROM turn) AND until < now() - interval '1 minute'
		ORDER BY cache_key LIMIT 500 FOR UPDATE SKIP LOCKED))
)
SELECT count(*), pg_relation_size('phrase_cache') / current_setting('block_size')::bigint,
	(SELECT mine FROM turn)
FROM gone;
