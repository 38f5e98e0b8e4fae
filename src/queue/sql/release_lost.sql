-- Puts back what a claimant holds in the database but does not have in hand: a claim whose answer
-- was lost with the connection.
PREPARE release_lost (
	text,		-- $1: the claimant
	uuid[]		-- $2: the jobs that it has in hand
) AS
UPDATE grading_jobs SET status = 'pending', claimed_by = NULL, updated_at = now()
WHERE status = 'processing' AND claimed_by = $1 AND id <> ALL($2::uuid[])
RETURNING id;
