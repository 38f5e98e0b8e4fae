-- Claims such of these jobs as are due and free, large ones too: behind places that claims pass, to
-- find those that the database refuses (worker/walk.h).
\ir pieces/claims.sql
\set due `cat pieces/these.sql`
\set claimable 'true'
\set claimant '$5'
\set beside ''
\set cap '$4'

PREPARE claim_these (
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
), :opened, :strides
:claimed_rows;
