-- A claim that is held by the locks of its rows and never written down, between begin and commit;
-- complete_held.sql settles it. Whatever goes wrong in between, nothing has happened. For a rater
-- that answers at once, since the transaction is open meanwhile (worker/claim_txn.c). Outside of a
-- transaction it is a preview: the jobs that a claim would take, and nobody holds them.
\set times_claimed `cat pieces/times_claimed.sql`
\set job_columns `cat pieces/job_columns.sql`
\set columns :job_columns
\set due `cat pieces/due.sql`
\set beside ''
\set claimed_rows `cat pieces/claimed_rows.sql`

PREPARE hold (
	int,		-- $1: so many jobs at most
	int,		-- $2: job_data of more bytes is not fetched
	bigint[],	-- $3: floors: the priority of each
	bigint[],	-- $4: the next known priority above each
	timestamptz[],	-- $5: the available_at where each stands
	uuid[],		-- $6: the id where each stands
	bigint,		-- $7: ms that every floor is back at least
	uuid[]		-- $8: jobs that are left alone
) AS
WITH claimed AS MATERIALIZED (
	:due
)
:claimed_rows;
