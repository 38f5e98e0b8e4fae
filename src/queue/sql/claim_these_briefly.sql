-- As claim_these.sql, for a rater that answers at once: see claim_briefly.sql.
\set columns `cat pieces/place.sql`
\set due `cat pieces/these.sql`
\set claimable 'true'
\set claimant '$5'
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set job_columns `cat pieces/job_columns.sql`
\set claimed `cat pieces/claimed.sql`
\set beside '(SELECT set_config(''synchronous_commit'', ''off'', true)) AS no_wait,'
\set rows `cat pieces/all_locked.sql`
\set place 'due'
\set readable 'true'
\set cap '$4'
\set strides `cat pieces/strides.sql`
\set claimed_rows `cat pieces/claimed_rows.sql`

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
