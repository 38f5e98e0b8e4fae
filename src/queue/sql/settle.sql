-- Settles jobs with whatever lines they have and whatever is there already: complete, fail, put
-- back, or (status "processing") only store what has arrived. Only jobs still under our claim are
-- touched, and only their lines stored. The session's row is locked before its lines are numbered,
-- so that seq follows the order of commits. `brought` are lines of jobs that count for the first
-- time; what another job brought before is no new line.
\set batch `cat pieces/batch.sql`
\set status '''processing'''
\set as_claimed `cat pieces/as_claimed.sql`
\set taken_back `cat pieces/taken_back.sql`
\set counters `cat pieces/counters.sql`
\set separator `cat pieces/separator.sql`
\set line_values `cat pieces/line_values.sql`
\set distinct 'DISTINCT ON (cache_key)'
\set remember `cat pieces/remember.sql`
\set settled_places `cat pieces/settled_places.sql`

PREPARE settle (
	uuid[],		-- $1: jobs: their ids,
	bigint[],	-- $2: the numbers of our claims,
	text[],		-- $3: the new status,
	int[],		-- $4: how many attempts count,
	bigint[],	-- $5: ms before they are available again,
	text[],		-- $6: error,
	int[],		-- $7: result, a document,
	text[],		-- $8: how they were counted,
	int[],		-- $9: as how many their session is announced,
	int[],		-- $10: lines to be rated,
	int[],		-- $11: lines without text,
	int[],		-- $12: and lines that come with this
	int[],		-- $13: lines: the place of their job,
	int[],		-- $14: their own among its lines,
	int[],		-- $15: their index,
	text[],		-- $16: text,
	text[],		-- $17: rating,
	text[],		-- $18: alternatives,
	text[],		-- $19: reason,
	bool[],		-- $20: whether it came from the cache,
	int[],		-- $21: provenance, a document,
	text[],		-- $22: key for the cache,
	text[],		-- $23: and context for the cache
	jsonb[],	-- $24: documents
	text,		-- $25: the claimant
	bigint		-- $26: ms that a cache entry lives
) AS
WITH :batch, settled AS (
	UPDATE grading_jobs g SET status = job.status,
		attempts = least(coalesce(g.attempts, 0), 2147483646) + coalesce(job.attempt, 0),
		available_at = CASE WHEN job.status = 'pending'
			THEN now() + coalesce(job.delay_ms, 0) * interval '1 ms'
			ELSE g.available_at END,
		result = coalesce(($24::jsonb[])[job.result], g.result), error = job.error,
		updated_at = now(),
		completed_at = CASE WHEN job.status = 'completed' THEN now() END,
		failed_at = CASE WHEN job.status = 'failed' THEN now() END,
		claimed_by = CASE WHEN job.status <> 'pending' THEN g.claimed_by END,
		counted_as = CASE WHEN job.status IN ('completed', 'failed') THEN job.status
			ELSE g.counted_as END
	FROM job WHERE :as_claimed AND g.claimed_by = $25
	RETURNING g.id, g.session_id, g.counted_as AS counted, job.was, job.batches, job.lines,
		job.skipped, job.stored, job.place
), locked AS MATERIALIZED (
	SELECT s.session_id, s.rated_seq FROM grading_sessions s
	WHERE s.session_id = ANY(ARRAY(SELECT session_id FROM settled))
	ORDER BY s.session_id FOR UPDATE
), fresh AS (
	SELECT DISTINCT ON (settled.session_id, line.index) settled.session_id,
		settled.id AS job_id, line.*, coalesce(locked.rated_seq, 0) AS rated_seq
	FROM line JOIN settled ON settled.place = line.job LEFT JOIN locked USING (session_id)
	ORDER BY settled.session_id, line.index
), rated AS (
	INSERT INTO line_ratings AS r (session_id, line_index, line_text, rating, alternatives,
		reason, cached, job_id, provenance, seq, rated_at)
	SELECT session_id, index, text, rating, :line_values,
		rated_seq + row_number() OVER (PARTITION BY session_id ORDER BY index), now()
	FROM fresh
	ON CONFLICT (session_id, line_index) DO UPDATE SET line_text = excluded.line_text,
		rating = excluded.rating, alternatives = excluded.alternatives,
		reason = excluded.reason, cached = excluded.cached, job_id = excluded.job_id,
		provenance = excluded.provenance, seq = excluded.seq, rated_at = excluded.rated_at
	RETURNING r.session_id, (r.xmax = 0) AS new
), sums AS (
	SELECT session_id, max(batches) AS batches,
		sum((counted IS NOT DISTINCT FROM 'completed')::int
			- (was IS NOT DISTINCT FROM 'completed')::int)::int AS completed,
		sum((counted IS NOT DISTINCT FROM 'failed')::int
			- (was IS NOT DISTINCT FROM 'failed')::int)::int AS failed,
		coalesce(sum(lines) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int
			AS lines,
		coalesce(sum(stored) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int
			AS brought,
		coalesce(sum(skipped) FILTER (WHERE was IS NULL AND counted IS NOT NULL), 0)::int
			AS skipped
	FROM settled WHERE session_id IS NOT NULL GROUP BY session_id
), gained AS (
	SELECT session_id, count(*)::int AS stored, count(*) FILTER (WHERE new)::int AS new
	FROM rated GROUP BY session_id
), counted AS (
	SELECT session_id, batches, completed, failed,
		least(greatest(lines - brought + coalesce(new, 0), 0), lines) AS lines,
		coalesce(new, 0) AS rated, skipped, coalesce(stored, 0) AS stored,
		now() AS started_at
	FROM sums LEFT JOIN gained USING (session_id)
	WHERE completed <> 0 OR failed <> 0 OR stored > 0
), moved AS (
	:taken_back
), session AS (
	:counters
), remembered AS (
	:remember
	ON CONFLICT (cache_key) DO UPDATE SET phrase = excluded.phrase, rating = excluded.rating,
		alternatives = excluded.alternatives, reason = excluded.reason,
		context = excluded.context,
		provenance = excluded.provenance, created_at = excluded.created_at
	WHERE c.created_at <= now() - $26::bigint * interval '1 ms'
)
:settled_places;
