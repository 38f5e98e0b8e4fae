-- As claim_these.sql, for a rater that answers at once: see claim_briefly.sql.
\ir pieces/claims.sql
\set due `cat pieces/these.sql`
\set claimable 'true'
\set claimant '$5'
\set beside `cat pieces/no_wait.sql`
\set cap '$4'

PREPARE claim_these_briefly (
	int,		-- $1: so many jobs at most
	uuid[],		-- $2: the jobs
	text,		-- $3: so long a lock is waited for
	int,		-- $4: job_data of more bytes is not fetched
	text		-- $5: the claimant
) AS
WITH due AS MATERIALIZED (
	:due
), claimed AS (
	:claimed
), :strides
:claimed_rows;
