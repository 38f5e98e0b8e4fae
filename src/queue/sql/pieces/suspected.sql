-- Writes down a job's deaths, the column of a row joined to the job g. Those after the second let
-- it wait for a while of its own, so that jobs that only kept the wrong company get away from the
-- one that kills.
available_at = CASE WHEN deaths > 2 AND NOT spent
	THEN now() + random() * least(deaths, 10)::float8 * interval '1 s' ELSE g.available_at END,
result = CASE WHEN deaths > 0 THEN CASE WHEN jsonb_typeof(g.result) = 'object' THEN g.result
	ELSE '{}' END || pg_catalog.jsonb_build_object('worker_deaths', deaths) ELSE g.result END
