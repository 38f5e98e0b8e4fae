-- How many such deaths the job g has to its name.
CASE WHEN jsonb_typeof(g.result -> 'worker_deaths'::text) = 'number'
	THEN least(greatest((g.result ->> 'worker_deaths'::text)::numeric, 0), 1000)::int ELSE 0 END
