-- Claims jobs. A session's first claim opens its row. What is large is left to claim_these.sql.
\ir pieces/claims.sql
\set due `cat pieces/due.sql`
\set stored_bytes `cat pieces/stored_bytes.sql`
\set large `cat pieces/large.sql`
\set claimable ':stored_bytes < :large'
\set claimant '$12'
\set beside ''
\set cap '$11'

PREPARE claim (
	int,		-- $1: so many jobs at most
	bigint[],	-- $2: spans in their order: the lowest priority of each,
	bigint[],	-- $3: the highest,
	int[],		-- $4: the lowest turn,
	int[],		-- $5: and the highest
	timestamptz[],	-- $6: where the floor of each stands: available_at
	uuid[],		-- $7: and id
	bigint,		-- $8: ms that every floor is back at least
	timestamptz[],	-- $9: where each begins at the earliest: available_at
	uuid[],		-- $10: and id
	int,		-- $11: job_data of more bytes is not fetched
	text		-- $12: the claimant
) AS
WITH due AS MATERIALIZED (
	:due
), claimed AS (
	:claimed
), :opened, :strides
:claimed_rows;
