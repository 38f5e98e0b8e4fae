-- What the phrase cache knows. Of an entry's provenance only what is not said by the entry itself:
-- an earlier release stored also when it was given, and that it was fresh then.
\set separator `cat pieces/separator.sql`

PREPARE lookup (
	text[],		-- $1: keys
	bigint		-- $2: ms that an entry lives
) AS
SELECT cache_key, rating, pg_catalog.array_to_string(alternatives, :separator), reason,
	CASE WHEN jsonb_typeof(provenance) = 'object'
		THEN (provenance - ARRAY['at', 'source'])::text END,
	created_at
FROM phrase_cache
WHERE cache_key::text = ANY($1::text[])
	AND created_at > now() - $2::bigint::float8 * interval '1 ms';
