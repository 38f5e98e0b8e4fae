-- The places of the jobs that a claim would take, with nothing of what they hold: those of a claim
-- that was refused are passed. By the answer nobody holds them.
\set columns `cat pieces/place.sql`
\set due `cat pieces/due.sql`

PREPARE peek (
	int,		-- $1: so many jobs at most
	bigint[],	-- $2: spans in their order: the lowest priority of each,
	bigint[],	-- $3: the highest,
	int[],		-- $4: the lowest turn,
	int[],		-- $5: and the highest
	timestamptz[],	-- $6: where the floor of each stands: available_at
	uuid[],		-- $7: and id
	bigint,		-- $8: ms that every floor is back at least
	timestamptz[],	-- $9: where each begins at the earliest: available_at
	uuid[]		-- $10: and id
) AS
:due;
