-- How many characters grading_jobs.error has room for: an application may have made it as a
-- varchar, or as a domain over one.
coalesce((SELECT nullif(greatest(a.atttypmod, t.typtypmod), -1) - 4
	FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = 'grading_jobs'::regclass::oid AND a.attname = 'error'::name),
	2147483647)
