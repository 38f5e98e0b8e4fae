-- What dead workers were asking about is free for others.
PREPARE forget_flights (
	text[]		-- $1: their identities
) AS
DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY(
	SELECT cache_key FROM phrase_flights WHERE asker = ANY($1::text[])
	ORDER BY cache_key FOR UPDATE SKIP LOCKED));
