-- Claims what is due for $9.
UPDATE grading_jobs g SET status = 'processing', claim = g.claim + 1, claimed_by = $9,
	started_at = now(), updated_at = now()
WHERE g.id = ANY(ARRAY(:due))
RETURNING :job_columns
