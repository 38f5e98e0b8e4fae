-- The size of a job's data as it is stored, which costs nothing to ask. The true one is no smaller,
-- but has to be unpacked.
coalesce(pg_catalog.pg_column_size(g.job_data), 0)
