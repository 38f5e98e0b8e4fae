-- Puts back jobs that have been in processing for too long. Where the host is lost nobody will ever
-- know why, so the attempt counts, as with a crash. A worker of this host is alive and did not get
-- on: its jobs are suspects (pieces/suspected.sql).
\set briefly `cat pieces/briefly.sql`
\set free_deaths `cat pieces/free_deaths.sql`
\set deaths `cat pieces/deaths.sql`
\set stuck `cat pieces/stuck.sql`
\set suspected `cat pieces/suspected.sql`
\set error_room `cat pieces/error_room.sql`
\set job_type 'g.job_type'
\set job_data 'g.job_data'
\set of_whole `cat pieces/whole.sql`
\set counted_failed `cat pieces/counted_failed.sql`
\set taken_back `cat pieces/taken_back.sql`
\set counters `cat pieces/counters.sql`
\set still_there :stuck
\set taken `cat pieces/taken.sql`
\set outcomes `cat pieces/outcomes.sql`

PREPARE reap (
	bigint,		-- $1: ms that are too long
	text,		-- $2: how claimants of this host begin
	uuid[],		-- $3: jobs: their ids,
	bigint[]	-- $4: and the claims under which they are held
) AS
WITH asked AS MATERIALIZED (
	SELECT a.* FROM unnest($3::uuid[], $4::bigint[]) WITH ORDINALITY AS a(id, claim, place),
		(:briefly) AS locks WHERE briefly IS NOT NULL
), judged AS MATERIALIZED (
	SELECT g.id, g.session_id, asked.place, counted_as, claimed_by, was.deaths, n.attempts,
		was.counts AND n.attempts >= coalesce(max_attempts, 3) AS spent
	FROM grading_jobs g JOIN asked ON g.id = asked.id AND g.claim = asked.claim
	CROSS JOIN LATERAL (
		SELECT :deaths AS deaths, starts_with(coalesce(claimed_by, ''), $2) AS alive) d
	CROSS JOIN LATERAL (
		SELECT d.deaths + d.alive::int AS deaths,
			NOT d.alive OR d.deaths >= :free_deaths AS counts) was
	CROSS JOIN LATERAL (
		SELECT least(greatest(coalesce(g.attempts, 0), 0), 2147483646)
			+ was.counts::int AS attempts) n
	WHERE g.id = ANY(ARRAY(SELECT id FROM asked)) AND :stuck
	ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
), :taken, put AS (
	UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,
		attempts = taken.attempts, claimed_by = NULL, updated_at = now(),
		failed_at = CASE WHEN spent THEN now() END,
		counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END,
		:suspected,
		error = left(pg_catalog.format(
			'no worker finished this job within %s s of its claim (%s had it)',
				round($1::bigint::numeric / 1000.0),
				coalesce(taken.claimed_by, 'nobody known'))
			|| CASE WHEN spent THEN '; it has no attempts left' ELSE '' END,
			:error_room)
	FROM taken WHERE g.id = taken.id AND g.id = ANY(ARRAY(SELECT id FROM taken))
	RETURNING g.session_id, g.status, taken.counted_as AS was, taken.place,
		:of_whole AS whole
), counted AS (
	:counted_failed
), moved AS (
	:taken_back
), session AS (
	:counters
)
:outcomes;
