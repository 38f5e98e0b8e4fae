-- Leases of lost hosts that nobody took over, by their keys: what clean_flights.sql deletes.
PREPARE lapsed (
	text,		-- $1: keys behind this one
	int		-- $2: so many at most
) AS
SELECT cache_key FROM phrase_flights
WHERE cache_key > $1::text AND until < now() - interval '1 minute'
ORDER BY cache_key LIMIT $2::int;
