-- Claims jobs for a rater that answers at once. A front end would see "processing" for an instant
-- only, so the settlement opens the session's row. And nobody waits until the commit is on disk: to
-- lose it in a crash of the server loses no job, only what was spent on it meanwhile. The job is
-- pending again, and settlements ask for the claimant's name beside the claim's number.
\ir pieces/claims.sql
\set due `cat pieces/due.sql`
\set stored_bytes `cat pieces/stored_bytes.sql`
\set large `cat pieces/large.sql`
\set claimable ':stored_bytes < :large'
\set claimant '$10'
\set beside `cat pieces/no_wait.sql`
\set cap '$9'

PREPARE claim_briefly (
	int,		-- $1: so many jobs at most
	bigint[],	-- $2: floors: the priority of each
	bigint[],	-- $3: the next known priority above each
	timestamptz[],	-- $4: the available_at where each stands
	uuid[],		-- $5: the id where each stands
	bigint,		-- $6: ms that every floor is back at least
	timestamptz[],	-- $7: where each begins at the earliest: available_at
	uuid[],		-- $8: and id
	int,		-- $9: job_data of more bytes is not fetched
	text		-- $10: the claimant
) AS
WITH due AS MATERIALIZED (
	:due
), claimed AS (
	:claimed
), :strides
:claimed_rows;
