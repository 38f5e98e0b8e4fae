-- The places of the jobs that are settled; one whose settlement was sent twice counts as well.
SELECT place FROM settled
UNION ALL
SELECT job.place FROM job
JOIN grading_jobs g ON g.id = ANY($1::uuid[]) AND g.id = job.id AND g.claim = job.claim
	AND g.status::text = job.status AND job.status <> 'processing'
WHERE (SELECT count(*) FROM settled) < pg_catalog.cardinality($1::uuid[])
	AND NOT EXISTS (SELECT FROM settled WHERE settled.place = job.place)
