-- Of the jobs $2 those that are due and that nobody else has, locked. Who claims so waits $3 for a
-- lock. :columns are of g.
SELECT :columns FROM grading_jobs g, (SELECT set_config('lock_timeout', $3, true)) AS briefly
WHERE g.id = ANY($2::uuid[]) AND g.status::text IS NOT DISTINCT FROM 'pending'
	AND g.available_at <= now()
LIMIT $1::int FOR UPDATE OF g SKIP LOCKED
