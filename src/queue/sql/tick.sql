-- The pool's one look at the queue, a poll. Each index is walked once, because under an old
-- snapshot that means all its dead entries. `head` is the first live row of each class
-- (queue/turns.h), where claims begin (scoreboard/floor.h), and what is counted behind it is
-- counted up to 100,000, so that the look stays cheap with a deep queue. One row for each head, at
-- least one: is anything due (with a hundred classes, perhaps), in how many ms is the next, the
-- gauges, is there work for the reaper or the cleanup, who claims on this host, where the head
-- stands, and how far numbers of claims and ratings have come, by which others' work is noticed.
-- What an adopted table has without a place in the order (NULL) is in nobody's way.
PREPARE tick (
	bigint,		-- $1: ms until the next tick
	bigint,		-- $2: ms after which a job in processing is stuck
	bigint,		-- $3: ms that completed jobs are kept; 0: for ever
	bigint,		-- $4: ms that failed jobs are kept; 0: for ever
	text		-- $5: how claimants of this host begin
) AS
WITH RECURSIVE head AS (
	(SELECT priority, turn, available_at, id FROM grading_jobs
	WHERE status::text = 'pending' AND priority IS NOT NULL AND available_at IS NOT NULL
	ORDER BY priority DESC, turn DESC, available_at, id LIMIT 1)
	UNION ALL
	SELECT next.* FROM head CROSS JOIN LATERAL (
		SELECT g.priority, g.turn, g.available_at, g.id FROM grading_jobs g
		WHERE g.status::text = 'pending'
			AND (g.priority, g.turn) < (head.priority, head.turn)
			AND g.available_at IS NOT NULL
		ORDER BY g.priority DESC, g.turn DESC, g.available_at, g.id LIMIT 1
	) next
), heads AS MATERIALIZED (
	SELECT * FROM head LIMIT 100
), waiting AS (
	SELECT sum(n.pending)::bigint AS pending, coalesce(sum(n.due), 0)::bigint AS due,
		min(next.at) AS next,
		min(h.available_at) FILTER (
			WHERE h.available_at <= now() AND isfinite(h.available_at)) AS oldest,
		coalesce(bool_or(h.available_at <= now()), false) OR count(*) = 100 AS look
	FROM heads h CROSS JOIN LATERAL (
		SELECT count(*) AS pending,
			count(*) FILTER (WHERE available_at <= now()) AS due
		FROM (
			SELECT g.available_at FROM grading_jobs g
			WHERE g.status::text = 'pending' AND g.priority = h.priority
				AND g.turn = h.turn AND (g.available_at, g.id) >= (h.available_at, h.id)
			ORDER BY g.available_at, g.id LIMIT 100000
		) p
	) n
	LEFT JOIN LATERAL (
		SELECT g.available_at AS at FROM grading_jobs g
		WHERE g.status::text = 'pending' AND g.priority = h.priority AND g.turn = h.turn
			AND g.available_at > now()
		ORDER BY g.available_at, g.id LIMIT 1
	) next ON true
), held AS (
	SELECT count(*) AS n,
		min(coalesce(started_at, updated_at, created_at, '-infinity')) AS oldest,
		string_agg(DISTINCT claimed_by, E'\n')
			FILTER (WHERE starts_with(claimed_by, $5)) AS claimants
	FROM grading_jobs WHERE status::text = 'processing'
)
SELECT waiting.look,
	CASE WHEN waiting.next <= now() + $1::bigint::float8 * interval '1 ms'
		THEN ceil(extract(epoch FROM waiting.next - now()) * 1000::numeric)::bigint END,
	coalesce(waiting.pending, 0), waiting.due, held.n,
	(SELECT count(*) FROM (
		SELECT FROM grading_jobs
		WHERE status::text = 'failed' AND failed_at > now() - interval '24 hours'
		LIMIT 100000) f),
	greatest(extract(epoch FROM now() - waiting.oldest) * 1000::numeric, 0)::bigint,
	coalesce(held.oldest < now() - $2::bigint::float8 * interval '1 ms', false),
	$3::bigint > 0 AND EXISTS (
		SELECT FROM grading_jobs
		WHERE status::text = 'completed'
			AND completed_at < now() - $3::bigint::float8 * interval '1 ms')
	OR $4::bigint > 0 AND EXISTS (
		SELECT FROM grading_jobs
		WHERE status::text = 'failed'
			AND failed_at < now() - $4::bigint::float8 * interval '1 ms'),
	held.claimants, now(), least(greatest(heads.priority, -2147483648), 2147483647)::int,
	heads.available_at, heads.id,
	pg_sequence_last_value('grading_claims'::regclass),
	pg_sequence_last_value('grading_cursors'::regclass),
	heads.turn::int
FROM waiting CROSS JOIN held LEFT JOIN heads ON true
ORDER BY heads.priority DESC, heads.turn DESC;
