-- Puts back jobs of dead workers, as left_behind.sql has found and judged them. One that was held
-- by a lock alone has no claimant, so whoever has it now, such as the dead worker's own server
-- process, is waited for, briefly; it counts as claimed from then on. All get another claim's
-- number, so that to tell of the same death twice charges each once.
\set briefly `cat pieces/briefly.sql`
\set free_deaths `cat pieces/free_deaths.sql`
\set deaths `cat pieces/deaths.sql`
\set suspected `cat pieces/suspected.sql`
\set error_room `cat pieces/error_room.sql`
\set job_type 'g.job_type'
\set job_data 'g.job_data'
\set of_whole `cat pieces/whole.sql`
\set counted_failed `cat pieces/counted_failed.sql`
\set taken_back `cat pieces/taken_back.sql`
\set counters `cat pieces/counters.sql`
\set times_claimed `cat pieces/times_claimed.sql`
\set claimed_once_more `cat pieces/claimed_once_more.sql`
\set still_there `cat pieces/left_behind.sql`
\set taken `cat pieces/taken.sql`
\set outcomes `cat pieces/outcomes.sql`

PREPARE recover (
	uuid[],		-- $1: jobs: their ids,
	bigint[],	-- $2: the claims under which they are held,
	text[],		-- $3: how their worker ended,
	text[],		-- $4: the line at which it was, or null,
	int[],		-- $5: how many attempts that costs,
	int[],		-- $6: as how many deaths it counts where it costs none,
	bool[]		-- $7: and whether a lock alone held them
) AS
WITH asked AS MATERIALIZED (
	SELECT a.* FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::int[],
			$6::int[], $7::bool[]) WITH ORDINALITY
			AS a(id, claim, how, line, guilt, weight, loose, place),
		(:briefly) AS locks WHERE briefly IS NOT NULL
), loose AS MATERIALIZED (
	SELECT g.id FROM grading_jobs g
	WHERE g.id = ANY(ARRAY(SELECT id FROM asked WHERE loose))
		AND g.status::text IS NOT DISTINCT FROM 'pending'
		AND g.claim = ANY(ARRAY(SELECT claim FROM asked WHERE loose))
	ORDER BY g.id FOR UPDATE
), judged AS MATERIALIZED (
	SELECT g.id, g.session_id, asked.place, asked.how, asked.line, g.counted_as,
		n.attempts, n.deaths,
		(n.attempts > coalesce(g.attempts, 0) OR n.attempts = 2147483647)
			AND n.attempts >= greatest(coalesce(g.max_attempts, 3), 1) AS spent
	FROM grading_jobs g JOIN asked ON g.id = asked.id AND g.claim = asked.claim
	CROSS JOIN LATERAL (
		SELECT least(greatest(coalesce(g.attempts, 0), 0), 2147483646) AS attempts,
			:deaths + CASE WHEN guilt > 0 THEN 0 ELSE weight END AS deaths) was
	CROSS JOIN LATERAL (
		SELECT was.deaths, was.attempts + greatest(guilt,
			(weight > 0 AND was.deaths > :free_deaths)::int) AS attempts) n
	WHERE g.id = ANY(ARRAY(SELECT id FROM asked)) AND :still_there
		AND (NOT asked.loose OR g.id = ANY(ARRAY(SELECT id FROM loose)))
	ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
), :taken, put AS (
	UPDATE grading_jobs g SET status = CASE WHEN spent THEN 'failed' ELSE 'pending' END,
		claim = nextval('grading_claims'::regclass),
		times_claimed = CASE WHEN g.status::text = 'pending' THEN :claimed_once_more
			ELSE least(:times_claimed, 2147483647)::int END,
		attempts = taken.attempts, claimed_by = NULL, updated_at = now(),
		failed_at = CASE WHEN spent THEN now() END,
		counted_as = CASE WHEN spent THEN 'failed' ELSE g.counted_as END,
		:suspected,
		error = left(pg_catalog.format('the worker that had this job %s', taken.how)
			|| coalesce(' while it was at line ' || taken.line, '')
			|| CASE WHEN spent THEN
				pg_catalog.format('; that makes %s attempts, it is not tried again',
					taken.attempts)
				ELSE '' END, :error_room)
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
