-- Claims jobs. A session's first claim opens its row. What is large is left to claim_these.sql.
\ir pieces/claims.sql
\set due `cat pieces/due.sql`
\set stored_bytes `cat pieces/stored_bytes.sql`
\set large `cat pieces/large.sql`
\set claimable ':stored_bytes < :large'
\set claimant '$10'
\set beside ''
\set cap '$9'

PREPARE claim (
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
), :opened, :strides
:claimed_rows;
