-- Deletes messages to webhooks that were kept long enough, if it is our turn: delivered ones, dead
-- ones, and those of receivers that are disabled or that no daemon delivers to any more. Says how
-- many it was.
\set cleaning `cat pieces/cleaning.sql`

PREPARE clean_webhooks (
	bigint,		-- $1: ms that delivered ones are kept
	bigint,		-- $2: ms that all others are kept
	int		-- $3: so many of each kind at most
) AS
WITH turn AS MATERIALIZED (
	SELECT :cleaning AS mine
), old AS MATERIALIZED (
	SELECT * FROM (
		SELECT id FROM grading_webhook_outbox
		WHERE (SELECT mine FROM turn) AND state = 'delivered'
			AND ended_at < now() - $1::bigint::float8 * interval '1 ms'
		ORDER BY ended_at LIMIT $3::int FOR UPDATE SKIP LOCKED
	) AS delivered
	UNION ALL
	SELECT * FROM (
		SELECT id FROM grading_webhook_outbox
		WHERE (SELECT mine FROM turn) AND state = 'dead'
			AND ended_at < now() - $2::bigint::float8 * interval '1 ms'
		ORDER BY ended_at LIMIT $3::int FOR UPDATE SKIP LOCKED
	) AS dead
	UNION ALL
	SELECT w.id FROM grading_webhooks h CROSS JOIN LATERAL (
		SELECT id FROM grading_webhook_outbox
		WHERE (SELECT mine FROM turn) AND hook = h.name AND state = 'waiting'
			AND tried_since < now() - $2::bigint::float8 * interval '1 ms'
		ORDER BY next_at LIMIT $3::int FOR UPDATE SKIP LOCKED
	) AS w
	WHERE h.disabled_at IS NOT NULL OR h.seen_at < now() - interval '7 days'
), gone AS (
	DELETE FROM grading_webhook_outbox WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING id
)
SELECT count(*) FROM gone;
