-- Writes down what became of messages that webhook_take.sql has taken, unless somebody else has
-- them by now. (IS NOT DISTINCT FROM keeps the planner off the index of all that wait.)
\set no_wait `cat pieces/no_wait.sql`

PREPARE webhook_settle (
	uuid[],		-- $1: messages: their ids,
	int[],		-- $2: as which attempt each was taken,
	text[],		-- $3: its state now,
	bigint[],	-- $4: ms until it is due again, where it waits,
	int[],		-- $5: the receiver's HTTP status, or null,
	text[]		-- $6: and what went wrong, or null
) AS
UPDATE grading_webhook_outbox o SET state = d.state,
	next_at = CASE WHEN d.state = 'waiting'
		THEN now() + d.delay_ms::float8 * interval '1 ms' ELSE o.next_at END,
	ended_at = CASE WHEN d.state <> 'waiting' THEN now() END,
	response = d.response, error = d.error
FROM :no_wait
	unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::int[], $6::text[])
	AS d(id, attempts, state, delay_ms, response, error)
WHERE no_wait IS NOT NULL AND o.id = ANY($1::uuid[]) AND o.id = d.id
	AND o.attempts = d.attempts AND o.state IS NOT DISTINCT FROM 'waiting';
