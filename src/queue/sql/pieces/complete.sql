-- Completes jobs none of which was ever settled before, with all their lines: what nearly every
-- settlement is. It takes for granted what settle.sql asks about, and is refused as a whole where
-- that is wrong (a line or a phrase is there already: their primary keys); the caller then sends
-- the same values to settle.sql. Counters and lines only of jobs that are :as_claimed; :claim sets
-- more of their columns. Cursors are drawn for a row that is joined to what :counters returns of
-- its session, so when this transaction has that row's lock; a draw is worth 64, which are those of
-- a job's lines in their order.
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
	SELECT job_id, session_id, place, part, nextval('grading_cursors'::regclass) AS first
	FROM (SELECT settled.id AS job_id, session.session_id, settled.place, part
		FROM settled JOIN session ON session.session_id = settled.session_id
		CROSS JOIN LATERAL generate_series(0, (settled.stored - 1) / 64) AS p(part)
		ORDER BY settled.place, part) AS parts
), rated AS (
	INSERT INTO line_ratings (session_id, line_index, line_text, rating, alternatives, reason,
		cached, job_id, provenance_id, given_at, seq, rated_at)
	SELECT session_id, index, text, rating, :line_values,
		first + (line.place - 1) % 64, now()
	FROM line JOIN placed ON placed.place = line.job AND placed.part = (line.place - 1) / 64
)
