-- Single flight. The asker gets those of the keys that nobody asks about and that the cache does
-- not know: rows with true. False: asking about it has just failed somebody, so whoever wants may
-- ask. The other keys are being asked about by others. The snapshot is taken before a row may be
-- waited for: the caller looks into the cache once more afterwards, with one that is newer than the
-- rows.
PREPARE lease_keys (
	text[],		-- $1: keys
	text,		-- $2: the asker
	bigint,		-- $3: ms that a lease lasts
	bigint		-- $4: ms that a cache entry lives
) AS
WITH asked AS MATERIALIZED (
	SELECT cache_key, asker FROM phrase_flights
	WHERE cache_key = ANY($1::text[]) AND until > now() AND asker <> $2
), leased AS (
	INSERT INTO phrase_flights AS f (cache_key, asker, until)
	SELECT key, $2, now() + $3::bigint::float8 * interval '1 ms'
	FROM pg_catalog.unnest($1::text[]) AS key
	WHERE key NOT IN (SELECT cache_key FROM asked)
		AND key NOT IN (
			SELECT cache_key::text FROM phrase_cache
			WHERE cache_key::text = ANY($1::text[])
				AND created_at > now() - $4::bigint::float8 * interval '1 ms')
	ORDER BY key COLLATE "C"
	ON CONFLICT (cache_key) DO UPDATE SET asker = excluded.asker, until = excluded.until
	WHERE f.until <= now() OR f.asker = excluded.asker
	RETURNING f.cache_key
)
SELECT cache_key, true FROM leased
UNION ALL
SELECT cache_key, false FROM asked WHERE asker = '';
