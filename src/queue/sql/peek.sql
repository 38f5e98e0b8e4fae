-- The places of the jobs that a claim would take, with nothing of what they hold: those of a claim
-- that was refused are passed. By the answer nobody holds them.
\set columns `cat pieces/place.sql`
\set due `cat pieces/due.sql`

PREPARE peek (
	int,		-- $1: so many jobs at most
	bigint[],	-- $2: floors: the priority of each
	bigint[],	-- $3: the next known priority above each
	timestamptz[],	-- $4: the available_at where each stands
	uuid[],		-- $5: the id where each stands
	bigint,		-- $6: ms that every floor is back at least
	timestamptz[],	-- $7: where each begins at the earliest: available_at
	uuid[]		-- $8: and id
) AS
:due;
