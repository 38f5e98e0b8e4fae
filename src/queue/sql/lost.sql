-- What a claimant holds in the database but does not have in hand: claims whose answer was lost
-- with the connection. release_lost.sql puts them back. Told apart by the claims' numbers, as a row
-- may have been deleted, inserted again under its id, and claimed again by who has the old one in
-- hand.
PREPARE lost (
	text,		-- $1: the claimant
	bigint[]	-- $2: the claims that it has in hand
) AS
SELECT id, session_id, claim FROM grading_jobs
WHERE status::text = 'processing' AND claimed_by = $1 AND claim <> ALL($2::bigint[])
ORDER BY id;
