-- An asker asks no longer. What failed it is left open: for a while everybody may ask about it.
PREPARE release_leases (
	text,		-- $1: the asker
	text[],		-- $2: keys to give up
	text[],		-- $3: keys to leave open
	bigint		-- $4: for so many ms
) AS
WITH ours AS MATERIALIZED (
	SELECT cache_key FROM phrase_flights
	WHERE cache_key = ANY(pg_catalog.array_cat($2::text[], $3::text[])) AND asker = $1
	ORDER BY cache_key FOR UPDATE
), failed AS (
	UPDATE phrase_flights SET asker = '', until = now() + $4::bigint::float8 * interval '1 ms'
	WHERE cache_key = ANY(ARRAY(
		SELECT cache_key FROM ours
		WHERE cache_key IN (SELECT pg_catalog.unnest($3::text[]))))
)
DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY(
	SELECT cache_key FROM ours WHERE cache_key NOT IN (SELECT pg_catalog.unnest($3::text[]))));
