-- Completes jobs none of which was ever settled before, with all their lines: what nearly every
-- settlement is. It takes for granted what settle.sql asks about, and is refused as a whole where
-- that is wrong (a line or a phrase is there already: their primary keys); the caller then sends
-- the same values to settle.sql. Counters and lines only of jobs that are :as_claimed; :claim sets
-- more of their columns. Cursors are drawn for a row that is joined to what :counters returns of
-- its session, so when this transaction has that row's lock; a draw is worth 64, which are those of
-- a job's lines in their order. `placed` is a row a job, so that the planner takes it for fewer
-- than the lines, and hashes it to join them, not their texts.
:batch, provenances AS (
	:provenances
), settled AS (
	UPDATE grading_jobs g SET status = 'completed', result = ($26::jsonb[])[job.result],
		error = NULL, updated_at = now(), completed_at = now(), failed_at = NULL,
		counted_as = 'completed':claim
	FROM job WHERE :as_claimed AND g.counted_as IS NULL
	RETURNING g.id, g.session_id, job.place, job.batches, job.lines, job.skipped, job.stored,
		job.stride
), moved AS MATERIALIZED (
	SELECT session_id, max(batches) AS batches, count(*)::int AS completed, 0 AS failed,
		sum(lines)::int AS lines, sum(stored)::int AS rated, sum(skipped)::int AS skipped,
		sum(stored)::int AS stored, now() AS started_at, max(stride) AS stride
	FROM settled GROUP BY session_id
), session AS (
	:counters
	RETURNING s.session_id
), placed AS MATERIALIZED (
	SELECT job_id, session_id, place,
		CASE WHEN stored <= 64 THEN ARRAY[nextval('grading_cursors'::regclass)]
			ELSE ARRAY(SELECT nextval('grading_cursors'::regclass)
				FROM generate_series(1, (stored + 63) / 64)) END AS first
	FROM (SELECT settled.id AS job_id, session.session_id, settled.place, settled.stored
		FROM settled JOIN session ON session.session_id = settled.session_id
		ORDER BY settled.place) AS jobs
), rated AS (
	INSERT INTO line_ratings (session_id, line_index, line_text, rating, alternatives, reason,
		cached, job_id, provenance_id, given_at, seq, rated_at)
	SELECT session_id, index, text, rating, :line_values,
		first[(line.place - 1) / 64 + 1] + (line.place - 1) % 64, now()
	FROM line JOIN placed ON placed.place = line.job
)
