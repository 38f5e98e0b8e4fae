-- Claims jobs for a rater that answers at once. A front end would see "processing" for an instant
-- only, so the settlement opens the session's row. And nobody waits until the commit is on disk: to
-- lose it in a crash of the server loses no job, only what was spent on it meanwhile. The job is
-- pending again, and settlements ask for the claimant's name beside the claim's number.
\set columns 'g.id'
\set due `cat pieces/due.sql`
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set job_columns `cat pieces/job_columns.sql`
\set claimed `cat pieces/claimed.sql`
\set beside '(SELECT set_config(''synchronous_commit'', ''off'', true)) AS no_wait,'
\set claimed_rows `cat pieces/claimed_rows.sql`

PREPARE claim_briefly (
	int,		-- $1: so many jobs at most
	int,		-- $2: job_data of more bytes is not fetched
	bigint[],	-- $3: floors: the priority of each
	bigint[],	-- $4: the next known priority above each
	timestamptz[],	-- $5: the available_at where each stands
	uuid[],		-- $6: the id where each stands
	bigint,		-- $7: ms that every floor is back at least
	uuid[],		-- $8: jobs that are left alone
	text		-- $9: the claimant
) AS
WITH claimed AS (
	:claimed
)
:claimed_rows;
