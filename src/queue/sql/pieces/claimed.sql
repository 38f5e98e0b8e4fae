-- Claims what is due for $9, each job under a number that no claim had before.
UPDATE grading_jobs g SET status = 'processing', claim = nextval('grading_claims'::regclass),
	times_claimed = :claimed_once_more, claimed_by = $9, started_at = now(), updated_at = now()
WHERE g.id = ANY(ARRAY(:due))
RETURNING :job_columns
