-- Claims the jobs of a CTE `due` for :claimant, as far as :claimable (of g), each job under a
-- number that no claim had before.
UPDATE grading_jobs g SET status = 'processing', claim = nextval('grading_claims'::regclass),
	times_claimed = :claimed_once_more, claimed_by = :claimant, started_at = now(),
	updated_at = now()
WHERE g.id = ANY(ARRAY(SELECT id FROM due)) AND :claimable
RETURNING :job_columns
