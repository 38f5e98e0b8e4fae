-- Puts back jobs of dead workers. The only job that there was is to blame, however the worker
-- ended, unless another was in hand (which has moved on since), and else the one in hand if it died
-- of itself: its attempt counts, and in the end it fails. Where that is known the others go free.
-- Else they are suspects (pieces/suspected.sql).
--
-- A job that somebody has locked is found by its dead claimant at a later tick. One that was held
-- by a lock alone (`loose`) has no claimant, so whoever has it now, such as the dead worker's own
-- server process, is waited for, if $7 says so and not for long; it counts as claimed from then on,
-- so that to tell of the same death twice charges it once. Only a job that is still under the claim
-- by which the dead one had it in hand is charged: another one may have its id by now. What they
-- were asking about is free for others.
\set free_deaths `cat pieces/free_deaths.sql`
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set death_in_hand `cat pieces/death_in_hand.sql`
\set deaths `cat pieces/deaths.sql`
\set suspected `cat pieces/suspected.sql`
\set counted_failed `cat pieces/counted_failed.sql`
\set taken_back `cat pieces/taken_back.sql`
\set counters `cat pieces/counters.sql`

PREPARE recover (
	text[],		-- $1: dead workers: their identities,
	text[],		-- $2: how each ended,
	uuid[],		-- $3: the job that it had in hand, or null,
	text[],		-- $4: the line of that, or null,
	bool[],		-- $5: whether it was killed from outside,
	bigint[],	-- $6: and the number of the claim by which it had the job in hand
	bool		-- $7: whether locks are waited for
) AS
WITH dead AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::bool[],
		$6::bigint[]) AS d(identity, how, in_hand, line, outside, claim)
), loose AS MATERIALIZED (
	SELECT id FROM (
		SELECT id FROM grading_jobs,
			(SELECT set_config('lock_timeout', '500ms', true)) AS briefly
		WHERE $7::bool AND id = ANY($3::uuid[])
			AND status IS NOT DISTINCT FROM 'pending' AND claim = ANY($6::bigint[])
		ORDER BY id FOR UPDATE OF grading_jobs
	) AS waited_for
	UNION ALL
	SELECT id FROM (
		SELECT id FROM grading_jobs
		WHERE NOT $7::bool AND id = ANY($3::uuid[])
			AND status IS NOT DISTINCT FROM 'pending' AND claim = ANY($6::bigint[])
		ORDER BY id FOR UPDATE SKIP LOCKED
	) AS free
), held AS MATERIALIZED (
	SELECT g.id, g.claim, g.counted_as, d.how,
		CASE WHEN had.it THEN d.line END AS line,
		greatest(coalesce(g.max_attempts, 3), 1) AS max_attempts,
		((count(*) OVER (PARTITION BY d.identity) = 1 AND d.in_hand IS NULL)
			OR had.it AND (NOT d.outside
				OR count(*) OVER (PARTITION BY d.identity) = 1))::int AS guilt,
		CASE WHEN d.in_hand IS NULL THEN 1
			WHEN had.it THEN :death_in_hand ELSE 0 END AS weight
	FROM grading_jobs g JOIN dead d ON g.claimed_by = d.identity
	CROSS JOIN LATERAL (
		SELECT coalesce(d.in_hand = g.id AND d.claim = g.claim, false) AS it) had
	WHERE g.status = 'processing'
	UNION ALL
	SELECT g.id, g.claim, g.counted_as, max(d.how), max(d.line),
		greatest(coalesce(g.max_attempts, 3), 1),
		count(*) FILTER (WHERE NOT d.outside)::int,
		:death_in_hand * count(*) FILTER (WHERE d.outside)::int
	FROM grading_jobs g JOIN dead d ON d.in_hand = g.id AND d.claim = g.claim
	WHERE g.id = ANY(ARRAY(SELECT id FROM loose))
	GROUP BY g.id
), judged AS MATERIALIZED (
	SELECT g.id, held.how, held.line, held.counted_as, n.attempts, n.deaths,
		n.attempts > coalesce(g.attempts, 0) AND n.attempts >= held.max_attempts AS spent
	FROM grading_jobs g JOIN held USING (id, claim)
	CROSS JOIN LATERAL (
		SELECT least(coalesce(g.attempts, 0), 2147483646) AS attempts,
			:deaths + CASE WHEN guilt > 0 THEN 0 ELSE weight END AS deaths) was
	CROSS JOIN LATERAL (
		SELECT was.deaths, was.attempts + greatest(guilt,
			(weight > 0 AND was.deaths > :free_deaths)::int) AS attempts) n
	WHERE g.id = ANY(ARRAY(SELECT id FROM held))
		AND (g.status = 'processing' OR g.id = ANY(ARRAY(SELECT id FROM loose)))
	ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
), put AS (
	UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,
		claim = CASE WHEN g.status = 'pending' THEN nextval('grading_claims'::regclass)
			ELSE g.claim END,
		times_claimed = CASE WHEN g.status = 'pending' THEN :claimed_once_more
			ELSE g.times_claimed END,
		attempts = judged.attempts, claimed_by = NULL, updated_at = now(),
		failed_at = CASE WHEN spent THEN now() END,
		counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END,
		:suspected,
		error = format('the worker that had this job %s', judged.how)
			|| coalesce(' while it was at line ' || judged.line, '')
			|| CASE WHEN spent THEN
				format('; that makes %s attempts, it is not tried again',
					judged.attempts)
				ELSE '' END
	FROM judged WHERE g.id = judged.id AND g.id = ANY(ARRAY(SELECT id FROM judged))
	RETURNING g.session_id, g.status, judged.counted_as AS was
), counted AS (
	:counted_failed
), moved AS (
	:taken_back
), session AS (
	:counters
), freed AS (
	DELETE FROM phrase_flights WHERE cache_key = ANY(ARRAY(
		SELECT cache_key FROM phrase_flights WHERE asker = ANY($1::text[])
		ORDER BY cache_key FOR UPDATE SKIP LOCKED))
)
SELECT count(*), count(*) FILTER (WHERE status = 'failed') FROM put;
