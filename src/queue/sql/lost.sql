-- What a claimant holds in the database but does not have in hand, by the ids: claims whose answer
-- was lost with the connection. release_lost.sql puts them back.
PREPARE lost (
	text,		-- $1: the claimant
	uuid[]		-- $2: the jobs that it has in hand
) AS
SELECT id, session_id, claim FROM grading_jobs
WHERE status = 'processing' AND claimed_by = $1 AND id <> ALL($2::uuid[])
ORDER BY id;
