-- Claims jobs. A session's first claim opens its row, so that a front end sees "processing".
\set columns 'g.id'
\set due `cat pieces/due.sql`
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set job_columns `cat pieces/job_columns.sql`
\set claimed `cat pieces/claimed.sql`
\set beside ''
\set claimed_rows `cat pieces/claimed_rows.sql`

PREPARE claim (
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
), opened AS (
	INSERT INTO grading_sessions (session_id, total_batches, started_at)
	SELECT c.session_id, max(CASE WHEN jsonb_typeof(c.job_data -> 'totalBatches') = 'number'
		THEN least(greatest((c.job_data ->> 'totalBatches')::numeric, 0), 1000000)::int
		ELSE 0 END), now()
	FROM claimed c WHERE c.session_id IS NOT NULL
	GROUP BY c.session_id ORDER BY c.session_id
	ON CONFLICT DO NOTHING
), begun AS (
	UPDATE grading_sessions SET started_at = now()
	WHERE session_id = ANY(ARRAY(
		SELECT session_id FROM grading_sessions
		WHERE started_at IS NULL AND session_id = ANY(ARRAY(SELECT session_id FROM claimed))
		ORDER BY session_id FOR UPDATE SKIP LOCKED))
)
:claimed_rows;
