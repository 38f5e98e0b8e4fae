-- The finished job g was kept long enough: $1 and $2 are the ms that completed and failed ones are
-- kept; 0: for ever.
($1::bigint > 0 AND g.status::text IS NOT DISTINCT FROM 'completed'
		AND g.completed_at < now() - interval '1 ms' * $1::bigint::float8
	OR $2::bigint > 0 AND g.status::text IS NOT DISTINCT FROM 'failed'
		AND g.failed_at < now() - interval '1 ms' * $2::bigint::float8)
