-- The job g is as our claim left it, in :status. IS NOT DISTINCT FROM keeps the planner off the
-- index of processing rows and its dead entries.
g.id = ANY($1::uuid[]) AND g.id = job.id AND g.claim = job.claim
	AND g.status::text IS NOT DISTINCT FROM :status
