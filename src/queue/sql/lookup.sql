-- What the phrase cache knows.
\set separator `cat pieces/separator.sql`

PREPARE lookup (
	text[],		-- $1: keys
	bigint		-- $2: ms that an entry lives
) AS
SELECT cache_key, rating, array_to_string(alternatives, :separator), reason, provenance::text
FROM phrase_cache
WHERE cache_key = ANY($1::text[]) AND now() - created_at < $2::bigint * interval '1 ms';
