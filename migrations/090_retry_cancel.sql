-- 090: putting failed jobs back into the queue, and ending jobs that wait.
--
-- Both have the rights of their owner, as grading_enqueue() has; 089 says why functions and literals are written out.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- The failed jobs of these sessions wait again, with all their attempts before them. Returns how many. What a failed job
-- was counted for (its batch, and its lines where they are not known beforehand) is taken back, so that it is counted
-- anew when it is settled; where a job was made to fail by hand that is left to its settlement. Jobs are locked in one
-- order, before their sessions.
CREATE OR REPLACE FUNCTION grading_retry_many(session_ids uuid[]) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	retried integer;
BEGIN
	WITH failed AS MATERIALIZED (
		SELECT g.id, g.counted_as, CASE WHEN jsonb_typeof(g.result) = 'object'::text THEN g.result END AS result
		FROM grading_jobs g
		WHERE g.status::text = 'failed'::text AND g.session_id = ANY(session_ids)
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET status = 'pending'::text, attempts = 0, available_at = now(), updated_at = now(),
			error = NULL, failed_at = NULL, completed_at = NULL, claimed_by = NULL,
			counted_as = CASE WHEN failed.counted_as = 'failed'::text THEN NULL ELSE failed.counted_as END,
			-- What earlier attempts took stays; how many lines are counted is said where they are.
			result = failed.result - ARRAY['lines'::text, 'rated'::text, 'skipped'::text, 'cached'::text, 'unrated'::text]
		FROM failed WHERE g.id = failed.id
		RETURNING g.session_id, failed.counted_as AS was,
			CASE WHEN jsonb_typeof(failed.result -> 'lines'::text) = 'number'::text
			     THEN least(greatest((failed.result ->> 'lines'::text)::numeric, 0::numeric), 1000000::numeric)::integer
			     ELSE 0 END AS lines,
			CASE WHEN jsonb_typeof(failed.result -> 'skipped'::text) = 'number'::text
			     THEN least(greatest((failed.result ->> 'skipped'::text)::numeric, 0::numeric), 1000000::numeric)::integer
			     ELSE 0 END AS skipped
	), moved AS (
		SELECT put.session_id, pg_catalog.count(*)::integer AS failed, sum(put.lines)::integer AS lines,
			sum(put.skipped)::integer AS skipped
		FROM put WHERE put.was = 'failed'::text GROUP BY put.session_id
	), locked AS MATERIALIZED (
		SELECT s.session_id FROM grading_sessions s
		WHERE s.session_id = ANY(ARRAY(SELECT moved.session_id FROM moved))
		ORDER BY s.session_id FOR UPDATE
	), session AS (
		UPDATE grading_sessions s SET failed_batches = s.failed_batches - moved.failed, completed_at = NULL,
			total_lines = CASE WHEN s.announced THEN s.total_lines ELSE greatest(s.total_lines - moved.lines, 0) END,
			skipped_lines = greatest(s.skipped_lines - moved.skipped, 0),
			updated_at = greatest(s.updated_at, now())
		FROM moved JOIN locked ON locked.session_id = moved.session_id WHERE s.session_id = moved.session_id
	)
	SELECT pg_catalog.count(*)::integer INTO retried FROM put;

	IF retried > 0 THEN
		PERFORM pg_catalog.pg_notify('grading_jobs'::text, ''::text);	-- wakes pools that sleep
	END IF;
	RETURN retried;
END $$;

-- The failed jobs of one session.
CREATE OR REPLACE FUNCTION grading_retry(session_id uuid) RETURNS integer
LANGUAGE sql AS $$
	SELECT grading_retry_many(ARRAY[grading_retry.session_id])
$$;

-- Ends the jobs of a session that wait or are being rated, as failed. Returns how many. A worker that has one in hand
-- finds at its settlement that the claim is no longer its own, and drops what it has; ratings that are stored stay.
CREATE OR REPLACE FUNCTION grading_cancel(session_id uuid) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	cancelled integer;
BEGIN
	WITH open AS MATERIALIZED (
		SELECT g.id, g.counted_as, g.job_data, CASE WHEN jsonb_typeof(g.result) = 'object'::text THEN g.result END AS result
		FROM grading_jobs g
		WHERE (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
		  AND g.session_id = grading_cancel.session_id
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET status = 'failed'::text, error = 'cancelled'::text, claim = g.claim + 1, claimed_by = NULL,
			failed_at = now(), completed_at = NULL, updated_at = now(), counted_as = 'failed'::text,
			-- Its lines were never counted, and grading_retry() is not to take them back.
			result = CASE WHEN open.counted_as IS NULL THEN open.result
				- ARRAY['lines'::text, 'rated'::text, 'skipped'::text, 'cached'::text, 'unrated'::text]
				ELSE g.result END
		FROM open WHERE g.id = open.id
		RETURNING g.session_id, open.counted_as AS was,
			CASE WHEN jsonb_typeof(open.job_data -> 'totalBatches'::text) = 'number'::text
			     THEN least(greatest((open.job_data ->> 'totalBatches'::text)::numeric, 0::numeric), 1000000::numeric)::integer
			     ELSE 0 END AS batches
	), moved AS (
		SELECT put.session_id, max(put.batches) AS batches,
			pg_catalog.count(*) FILTER (WHERE put.was IS DISTINCT FROM 'failed'::text)::integer AS failed,
			pg_catalog.count(*) FILTER (WHERE put.was = 'completed'::text)::integer AS uncompleted
		FROM put GROUP BY put.session_id
	), session AS (
		INSERT INTO grading_sessions AS s (session_id, total_batches, failed_batches, completed_at)
		SELECT moved.session_id, greatest(moved.batches, moved.failed), moved.failed,
			CASE WHEN moved.failed >= moved.batches THEN now() END
		FROM moved
		ON CONFLICT (session_id) DO UPDATE SET
			failed_batches = s.failed_batches + excluded.failed_batches,
			completed_batches = s.completed_batches - (SELECT moved.uncompleted FROM moved),
			total_batches = greatest(s.total_batches, excluded.total_batches,
				s.completed_batches + s.failed_batches + excluded.failed_batches),
			completed_at = CASE WHEN s.completed_batches + s.failed_batches + excluded.failed_batches
				- (SELECT moved.uncompleted FROM moved) >= greatest(s.total_batches, excluded.total_batches, 1)
				THEN greatest(s.updated_at, now()) END,
			updated_at = greatest(s.updated_at, now())
	)
	SELECT pg_catalog.count(*)::integer INTO cancelled FROM put;
	RETURN cancelled;
END $$;

COMMENT ON FUNCTION grading_retry(uuid) IS 'puts the session''s failed jobs back into the queue; returns how many';
COMMENT ON FUNCTION grading_retry_many(uuid[]) IS 'as grading_retry(), for many sessions at once';
COMMENT ON FUNCTION grading_cancel(uuid) IS 'ends the session''s open jobs as failed, "cancelled"; returns how many';

SET client_min_messages = error;	-- what could not be secured, 089 has said
DO $$ BEGIN PERFORM grading_secure(); END $$;

INSERT INTO grading_migrations (version, name) VALUES (90, '090_retry_cancel.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
