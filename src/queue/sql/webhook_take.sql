-- Takes messages that are due, some of each receiver, and keeps others from them until they are
-- surely answered: whoever takes one and dies leaves it to the next. What is told of a session's
-- end gets its ratings now, once, so that a message says the same each time. A step of a session is
-- left out where there is a later message of it. A row for each message; then, for each receiver
-- that has more for later, one with the ms until the first of them.
\set no_wait `cat pieces/no_wait.sql`

PREPARE webhook_take (
	text[],		-- $1: receivers
	int[],		-- $2: of each so many messages at most
	bigint[]	-- $3: and ms for which they are nobody else's
) AS
WITH hook AS MATERIALIZED (
	SELECT u.name, u.room, u.lease_ms
	FROM :no_wait
		unnest($1::text[], $2::int[], $3::bigint[]) AS u(name, room, lease_ms)
	WHERE no_wait IS NOT NULL AND u.name = ANY(ARRAY(
		SELECT h.name FROM grading_webhooks h
		WHERE h.name = ANY($1::text[]) AND h.disabled_at IS NULL))
), due AS MATERIALIZED (
	SELECT o.id, hook.lease_ms, o.type = 'session.step' AND EXISTS (
		SELECT FROM grading_webhook_outbox n
		WHERE n.session_id = o.session_id AND n.hook = o.hook
			AND n.created_at > o.created_at
			AND n.state <> 'dead') AS needless
	FROM hook CROSS JOIN LATERAL (
		SELECT w.id, w.hook, w.session_id, w.type, w.created_at
		FROM grading_webhook_outbox w
		WHERE w.hook = hook.name AND w.state = 'waiting' AND w.next_at <= now()
		ORDER BY w.next_at LIMIT hook.room FOR UPDATE SKIP LOCKED
	) AS o
), gone AS (
	DELETE FROM grading_webhook_outbox
	WHERE id = ANY(ARRAY(SELECT id FROM due WHERE needless))
), taken AS (
	UPDATE grading_webhook_outbox o SET attempts = least(o.attempts, 2147483646) + 1,
		next_at = now() + due.lease_ms::float8 * interval '1 ms',
		data = CASE WHEN o.type <> 'session.ended' OR o.data ? 'ratings'::text THEN o.data
			ELSE pg_catalog.jsonb_set(o.data, ARRAY['ratings'], coalesce((
				SELECT pg_catalog.jsonb_object_agg(r.rating, r.n) FROM (
					SELECT left(l.rating, 100) AS rating, count(*) AS n
					FROM line_ratings l WHERE l.session_id = o.session_id
					GROUP BY left(l.rating, 100) ORDER BY count(*) DESC LIMIT 40
				) AS r), '{}'::jsonb)) END
	FROM due
	WHERE o.id = due.id AND o.id = ANY(ARRAY(SELECT id FROM due WHERE NOT needless))
	RETURNING o.id, o.hook, o.attempts, o.type, o.data, o.created_at, o.tried_since
)
SELECT taken.id, taken.hook, taken.attempts,
	greatest(extract(epoch FROM now() - taken.tried_since) * 1000::numeric, 0)::bigint,
	taken.type,
	to_char(taken.created_at AT TIME ZONE 'UTC'::text, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'::text),
	taken.data::text
FROM taken
UNION ALL
SELECT NULL, hook.name, 0, ceil(extract(epoch FROM later.at - now()) * 1000::numeric)::bigint,
	NULL, NULL, NULL
FROM hook CROSS JOIN LATERAL (
	SELECT w.next_at AS at FROM grading_webhook_outbox w
	WHERE w.hook = hook.name AND w.state = 'waiting' AND w.next_at > now()
		AND w.next_at < now() + interval '1 year'
	ORDER BY w.next_at LIMIT 1
) AS later;
