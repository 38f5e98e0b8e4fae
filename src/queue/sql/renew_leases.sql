-- Keys stay with their asker, as far as it still has them.
PREPARE renew_leases (
	text[],		-- $1: keys
	text,		-- $2: the asker
	bigint		-- $3: ms that the lease lasts from now on
) AS
UPDATE phrase_flights SET until = now() + $3::bigint::float8 * interval '1 ms'
WHERE cache_key = ANY(ARRAY(
	SELECT cache_key FROM phrase_flights WHERE cache_key = ANY($1::text[]) AND asker = $2
	ORDER BY cache_key FOR UPDATE));
