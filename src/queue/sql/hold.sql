-- A claim that is held by the locks of its rows and never written down, between begin and commit;
-- complete_held.sql settles it. Whatever goes wrong in between, nothing has happened. For a rater
-- that answers at once, since the transaction is open meanwhile (worker/claim_txn.c). What is large
-- comes without its data.
\set times_claimed `cat pieces/times_claimed.sql`
\set job_columns `cat pieces/job_columns.sql`
\set columns :job_columns
\set due `cat pieces/due.sql`
\set large `cat pieces/large.sql`
\set beside ''
\set rows 'claimed c'
\set place 'c'
\set readable 'pg_catalog.pg_column_size(c.job_data) < :large'
\set cap '$11'
\set job_type 'c.job_type'
\set job_data 'c.job_data'
\set of_whole `cat pieces/whole.sql`
\set whole_session `cat pieces/whole_session.sql`
\set strides `cat pieces/strides.sql`
\set claimed_rows `cat pieces/claimed_rows.sql`

PREPARE hold (
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
	int		-- $11: job_data of more bytes is not fetched
) AS
WITH claimed AS MATERIALIZED (
	:due
), :strides
:claimed_rows;
