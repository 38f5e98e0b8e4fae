-- Settles jobs with whatever lines they have and whatever is there already: complete, fail, put
-- back, or (status "processing") only store what has arrived. Only jobs still under our claim are
-- touched, and only their lines stored. `brought` are lines of jobs that count for the first time;
-- what another job brought before is no new line. A line that another job stored with another text
-- is not replaced: all is refused, and the job whose line it is will fail alone.
--
-- Cursors are drawn under the lock of the session's row, so that they follow the order of commits,
-- and that row must be seen for it: a new one that another settlement has not committed yet is not.
-- Where one is `missing` this makes it, waits for whoever makes it too, and settles nothing; the
-- jobs are told by a place below zero, and the same again finds the row. So does one that is
-- deleted under our hands.
--
-- A job that grades its session as a whole is no batch and moves no counter. What it says of the
-- session is part of its result, and replaces what was said by fewer ratings. The order of locks is
-- kept by who reads whom: `locked` reads `missing`, which reads `ours`, and then `remembered`.
\set batch `cat pieces/batch.sql`
\set status '''processing'''
\set as_claimed `cat pieces/as_claimed.sql`
\set job_type 'g.job_type'
\set job_data 'g.job_data'
\set of_whole `cat pieces/whole.sql`
\set taken_back `cat pieces/taken_back.sql`
\set provenances `cat pieces/provenances.sql`
\set counters `cat pieces/counters.sql`
\set separator `cat pieces/separator.sql`
\set line_values `cat pieces/line_values.sql`
\set distinct 'DISTINCT ON (cache_key)'
\set error_room `cat pieces/error_room.sql`
\set still_ours 'ours'
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
	timestamptz[],	-- $21: when the rater gave it, if it did,
	uuid[],		-- $22: id of its provenance,
	text[],		-- $23: key for the cache,
	text[],		-- $24: context for the cache,
	int[],		-- $25: and provenance for the cache, a document
	jsonb[],	-- $26: documents
	uuid[],		-- $27: provenances that may not be stored yet: their ids,
	int[],		-- $28: and documents
	text,		-- $29: the claimant
	int[],		-- $30: jobs: lines in a full batch of their session, or null
	bigint		-- $31: ms that a cache entry lives
) AS
WITH :batch, provenances AS (
	:provenances
), ours AS MATERIALIZED (
	SELECT g.id, g.session_id, job.place, job.place IN (SELECT line.job FROM line) AS brings
	FROM grading_jobs g, job WHERE :as_claimed AND g.claimed_by = $29
	ORDER BY g.id FOR UPDATE OF g
), missing AS MATERIALIZED (
	SELECT DISTINCT session_id FROM ours
	WHERE brings AND (SELECT true FROM grading_sessions there
		WHERE there.session_id = ours.session_id) IS NULL
), opened AS (
	INSERT INTO grading_sessions (session_id, started_at)
	SELECT session_id, now() FROM missing ORDER BY session_id
	ON CONFLICT DO NOTHING
), remembered AS (
	:remember
	ON CONFLICT (cache_key) DO UPDATE SET phrase = excluded.phrase, rating = excluded.rating,
		alternatives = excluded.alternatives, reason = excluded.reason,
		context = excluded.context,
		provenance = excluded.provenance, created_at = excluded.created_at
	WHERE c.created_at <= now() - $31::bigint::float8 * interval '1 ms'
	RETURNING c.cache_key
), locked AS MATERIALIZED (
	SELECT s.session_id FROM grading_sessions s
	WHERE CASE WHEN EXISTS (SELECT FROM missing) THEN false
		ELSE (SELECT count(*) FROM remembered) >= 0 END
		AND s.session_id = ANY(ARRAY(SELECT session_id FROM ours))
	ORDER BY s.session_id FOR UPDATE
), free AS (
	SELECT place FROM ours LEFT JOIN locked USING (session_id)
	WHERE NOT EXISTS (SELECT FROM missing)
		AND (NOT brings OR locked.session_id IS NOT NULL)
), settled AS (
	UPDATE grading_jobs g SET status = job.status,
		attempts = least(greatest(coalesce(g.attempts, 0), 0), 2147483646)
			+ coalesce(job.attempt, 0),
		available_at = CASE WHEN job.status = 'pending'
			THEN now() + coalesce(job.delay_ms, 0)::float8 * interval '1 ms'
			ELSE g.available_at END,
		result = coalesce(($26::jsonb[])[job.result], g.result),
		error = left(job.error, :error_room),
		updated_at = now(),
		completed_at = CASE WHEN job.status = 'completed' THEN now() END,
		failed_at = CASE WHEN job.status = 'failed' THEN now() END,
		claimed_by = CASE WHEN job.status <> 'pending' THEN g.claimed_by END,
		counted_as = CASE WHEN job.status IN ('completed', 'failed') THEN job.status
			ELSE g.counted_as END
	FROM job WHERE :as_claimed AND g.claimed_by = $29
		AND job.place = ANY(ARRAY(SELECT place FROM free))
	RETURNING g.id, g.session_id, g.counted_as AS counted, job.was, job.batches, job.lines,
		job.skipped, job.stored, job.stride, job.place, :of_whole AS whole,
		job.status AS became, job.result AS document
), fresh AS (
	SELECT DISTINCT ON (settled.session_id, line.index) settled.session_id,
		settled.id AS job_id, line.*
	FROM line JOIN settled ON settled.place = line.job
		JOIN locked ON locked.session_id = settled.session_id
	ORDER BY settled.session_id, line.index
), rated AS (
	INSERT INTO line_ratings AS r (session_id, line_index, line_text, rating, alternatives,
		reason, cached, job_id, provenance_id, given_at, seq, rated_at)
	SELECT session_id, index, text, rating, :line_values,
		nextval('grading_cursors'::regclass), now()
	FROM fresh
	ON CONFLICT (session_id, line_index) DO UPDATE SET line_text = excluded.line_text,
		rating = excluded.rating, alternatives = excluded.alternatives,
		reason = excluded.reason, cached = excluded.cached, job_id = excluded.job_id,
		provenance = NULL, provenance_id = excluded.provenance_id,
		given_at = excluded.given_at, seq = excluded.seq, rated_at = excluded.rated_at
	WHERE r.job_id = excluded.job_id OR r.line_text = excluded.line_text
	RETURNING r.session_id, r.line_index, r.line_text, (r.xmax = 0) AS new
), refused AS MATERIALIZED (
	SELECT settled.session_id, line.index
	FROM line JOIN settled ON settled.place = line.job
	LEFT JOIN rated ON rated.session_id = settled.session_id
		AND rated.line_index = line.index
	WHERE rated.line_text IS DISTINCT FROM line.text
	ORDER BY settled.session_id, line.index LIMIT 1
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
			AS skipped,
		max(stride) AS stride
	FROM settled WHERE session_id IS NOT NULL AND NOT whole GROUP BY session_id
), gained AS (
	SELECT session_id, count(*)::int AS stored, count(*) FILTER (WHERE new)::int AS new
	FROM rated GROUP BY session_id
), counted AS (
	SELECT session_id, batches, completed, failed,
		least(greatest(lines - brought + coalesce(new, 0), 0), lines) AS lines,
		coalesce(new, 0) AS rated, skipped, coalesce(stored, 0) AS stored,
		now() AS started_at, stride
	FROM sums LEFT JOIN gained USING (session_id)
	WHERE completed <> 0 OR failed <> 0 OR stored > 0
), moved AS (
	:taken_back
), session AS (
	:counters
), graded AS (
	INSERT INTO session_gradings AS w (session_id, score, grading, upto, cached, cache_key,
		provenance, job_id, given_at, graded_at)
	SELECT DISTINCT ON (settled.session_id) settled.session_id,
		(said.document #>> '{grading,score}'::text[])::int, said.document -> 'grading'::text,
		(said.document ->> 'upto'::text)::bigint,
		coalesce((said.document ->> 'cached'::text)::bool, false),
		said.document ->> 'key'::text, said.document -> 'provenance'::text, settled.id,
		coalesce((said.document ->> 'given_at'::text)::timestamptz, now()), now()
	FROM settled CROSS JOIN LATERAL (
		SELECT ($26::jsonb[])[settled.document] AS document) AS said
	WHERE settled.whole AND settled.became = 'completed' AND settled.session_id IS NOT NULL
	ORDER BY settled.session_id, (said.document ->> 'upto'::text)::bigint DESC
	ON CONFLICT (session_id) DO UPDATE SET score = excluded.score, grading = excluded.grading,
		upto = excluded.upto, cached = excluded.cached, cache_key = excluded.cache_key,
		provenance = excluded.provenance, job_id = excluded.job_id,
		given_at = excluded.given_at, graded_at = excluded.graded_at
	WHERE w.upto <= excluded.upto
)
:settled_places
UNION ALL
SELECT -ours.place FROM ours
WHERE NOT EXISTS (SELECT FROM settled WHERE settled.place = ours.place)
UNION ALL
SELECT grading_refuse_line(session_id, index) FROM refused;
