-- The job g has been in processing for more than $1 ms.
g.status::text IS NOT DISTINCT FROM 'processing'
	AND coalesce(g.started_at, g.updated_at, g.created_at, '-infinity')
		< now() - interval '1 ms' * $1::bigint::float8
