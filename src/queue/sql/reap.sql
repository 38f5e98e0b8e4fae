-- Puts back jobs that have been in processing for too long. Where the host is lost nobody will ever
-- know why, so the attempt counts, as with a crash. A worker of this host is alive and did not get
-- on: its jobs are suspects (pieces/suspected.sql).
\set free_deaths `cat pieces/free_deaths.sql`
\set deaths `cat pieces/deaths.sql`
\set suspected `cat pieces/suspected.sql`
\set counted_failed `cat pieces/counted_failed.sql`
\set taken_back `cat pieces/taken_back.sql`
\set counters `cat pieces/counters.sql`

PREPARE reap (
	bigint,		-- $1: ms that are too long
	text		-- $2: how claimants of this host begin
) AS
WITH stuck AS MATERIALIZED (
	SELECT g.id, counted_as, claimed_by, was.deaths, n.attempts,
		was.counts AND n.attempts >= coalesce(max_attempts, 3) AS spent
	FROM grading_jobs g
	CROSS JOIN LATERAL (
		SELECT :deaths AS deaths, starts_with(coalesce(claimed_by, ''), $2) AS alive) d
	CROSS JOIN LATERAL (
		SELECT d.deaths + d.alive::int AS deaths,
			NOT d.alive OR d.deaths >= :free_deaths AS counts) was
	CROSS JOIN LATERAL (
		SELECT least(coalesce(g.attempts, 0), 2147483646) + was.counts::int AS attempts) n
	WHERE status = 'processing'
		AND coalesce(started_at, updated_at, created_at, '-infinity')
			< now() - $1::bigint * interval '1 ms'
	ORDER BY started_at LIMIT 500 FOR UPDATE OF g SKIP LOCKED
), put AS (
	UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,
		attempts = stuck.attempts, claimed_by = NULL, updated_at = now(),
		failed_at = CASE WHEN spent THEN now() END,
		counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END,
		:suspected,
		error = format('no worker finished this job within %s s of its claim (%s had it)',
			round($1::bigint / 1000.0), coalesce(stuck.claimed_by, 'nobody known'))
			|| CASE WHEN spent THEN '; it has no attempts left' ELSE '' END
	FROM stuck WHERE g.id = stuck.id AND g.id = ANY(ARRAY(SELECT id FROM stuck))
	RETURNING g.session_id, g.status, stuck.counted_as AS was
), counted AS (
	:counted_failed
), moved AS (
	:taken_back
), session AS (
	:counters
)
SELECT count(*), count(*) FILTER (WHERE status = 'failed') FROM put;
