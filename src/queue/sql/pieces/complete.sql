-- Completes jobs none of which was ever settled before, with all their lines: what nearly every
-- settlement is. It takes for granted what settle.sql asks about, and is refused as a whole where
-- that is wrong (a line or a phrase is there already: their primary keys); the caller then sends
-- the same values to settle.sql. Counters and lines only of jobs that are :as_claimed; :claim sets
-- more of their columns. A line's seq is its job's, the number before the job's first line, and its
-- place.
:batch, settled AS (
	UPDATE grading_jobs g SET status = 'completed', result = ($24::jsonb[])[job.result],
		error = NULL, updated_at = now(), completed_at = now(), failed_at = NULL,
		counted_as = 'completed':claim
	FROM job WHERE :as_claimed AND g.counted_as IS NULL
	RETURNING g.id, g.session_id, job.place, job.batches, job.lines, job.skipped, job.stored
), moved AS MATERIALIZED (
	SELECT session_id, max(batches) AS batches, count(*)::int AS completed, 0 AS failed,
		sum(lines)::int AS lines, sum(stored)::int AS rated, sum(skipped)::int AS skipped,
		sum(stored)::int AS stored, now() AS started_at
	FROM settled GROUP BY session_id
), session AS (
	:counters
	RETURNING s.session_id, s.rated_seq
), placed AS MATERIALIZED (
	SELECT id AS job_id, session_id, place,
		rated_seq - sum(stored) OVER (PARTITION BY session_id)
		+ sum(stored) OVER (PARTITION BY session_id ORDER BY place) - stored AS seq
	FROM settled LEFT JOIN session USING (session_id)
), rated AS (
	INSERT INTO line_ratings (session_id, line_index, line_text, rating, alternatives, reason,
		cached, job_id, provenance, seq, rated_at)
	SELECT session_id, index, text, rating, :line_values, seq + line.place, now()
	FROM line JOIN placed ON placed.place = line.job
)
