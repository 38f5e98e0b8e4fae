-- 085: functions for applications, callable from SQL and through PostgREST or Supabase RPC.

SET client_min_messages = warning;

-- Splits a transcript into jobs of batch_size entries and announces the session, in one statement. Returns the number
-- of jobs made: 0 when the session is there already, so calling it twice is harmless.
CREATE OR REPLACE FUNCTION grading_enqueue(
	session_id uuid,
	transcript jsonb,
	sales_rep_name text DEFAULT NULL,
	customer_name text DEFAULT NULL,
	batch_size integer DEFAULT 5,
	priority integer DEFAULT 0
) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	batches integer;
	lines integer;
BEGIN
	IF session_id IS NULL THEN
		RAISE EXCEPTION 'session_id is null' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF transcript IS NULL OR jsonb_typeof(transcript) <> 'array' THEN
		RAISE EXCEPTION 'transcript must be a JSON array of {"speaker", "text"} objects'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'batch_size is %; it must be from 1 to 1000', coalesce(batch_size::text, 'null')
			USING ERRCODE = 'invalid_parameter_value';
	END IF;

	batches := (jsonb_array_length(transcript) + batch_size - 1) / batch_size;
	-- As the workers read it: speaker rep or user, and some character that is not Unicode White_Space.
	SELECT count(*) INTO lines FROM jsonb_array_elements(transcript) AS t(entry)
	WHERE lower(btrim(entry ->> 'speaker', E' \t\r\n')) IN ('rep', 'user')
	  AND concat(entry ->> 'text', entry ->> 'message')
	      ~ '[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';

	INSERT INTO grading_sessions AS s (session_id, total_batches, total_lines, announced, completed_at)
	VALUES (session_id, batches, lines, true, CASE WHEN batches = 0 THEN now() END)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;

	INSERT INTO grading_jobs (session_id, job_type, job_data, priority)
	SELECT session_id, 'line_rating', jsonb_build_object(
		'transcript', jsonb_agg(
			-- An entry without an index of its own gets its place in the whole transcript.
			CASE WHEN jsonb_typeof(entry) = 'object'
			      AND coalesce(nullif(entry -> 'index', 'null'), nullif(entry -> 'line_number', 'null')) IS NULL
			     THEN entry || jsonb_build_object('index', place - 1) ELSE entry END ORDER BY place),
		'batchIndex', (place - 1) / batch_size,
		'batchSize', batch_size,
		'totalBatches', batches,
		'salesRepName', coalesce(sales_rep_name, ''),
		'customerName', coalesce(customer_name, '')), coalesce(priority, 0)
	FROM jsonb_array_elements(transcript) WITH ORDINALITY AS t(entry, place)
	GROUP BY (place - 1) / batch_size
	ORDER BY (place - 1) / batch_size;
	RETURN batches;
END $$;

-- How far a session is; no row when it is not known. eta_seconds is an estimate from the pace so far, null before
-- there is one.
CREATE OR REPLACE FUNCTION grading_progress(session_id uuid)
RETURNS TABLE (
	status text,
	batches_done integer, batches_failed integer, batches_total integer,
	lines_done integer, lines_total integer,
	percent numeric, eta_seconds numeric,
	started_at timestamptz, first_rated_at timestamptz, completed_at timestamptz
)
LANGUAGE sql STABLE AS $$
	SELECT s.status, s.completed_batches + s.failed_batches, s.failed_batches, s.total_batches,
	       s.rated_lines, greatest(s.total_lines, s.rated_lines),
	       CASE WHEN s.status IN ('completed', 'failed') THEN 100
	            WHEN s.total_batches = 0 THEN 0
	            ELSE round(100.0 * (s.completed_batches + s.failed_batches) / s.total_batches, 1) END,
	       CASE WHEN s.status IN ('completed', 'failed') THEN 0
	            WHEN s.completed_batches + s.failed_batches > 0 THEN
	                round(extract(epoch FROM clock_timestamp() - s.started_at)
	                      * (s.total_batches - s.completed_batches - s.failed_batches)
	                      / (s.completed_batches + s.failed_batches), 1) END,
	       s.started_at, s.first_rated_at, s.completed_at
	FROM grading_sessions s WHERE s.session_id = grading_progress.session_id
$$;

-- A session's ratings newer than a cursor (0: all), oldest first. Pass the highest cursor seen as the next `since`:
-- no rating is ever missed, because cursors are given out in the order of commit.
CREATE OR REPLACE FUNCTION grading_ratings(session_id uuid, since bigint DEFAULT 0)
RETURNS TABLE (
	cursor bigint, line_index integer, line_text text, rating text, alternatives text[],
	reason text, cached boolean, rated_at timestamptz, provenance jsonb
)
LANGUAGE sql STABLE AS $$
	SELECT r.seq, r.line_index, r.line_text, r.rating, r.alternatives, r.reason, r.cached, r.rated_at, r.provenance
	FROM line_ratings r
	WHERE r.session_id = grading_ratings.session_id AND r.seq > coalesce(since, 0)
	ORDER BY r.seq
$$;

INSERT INTO grading_migrations (version, name) VALUES (85, '085_grading_api.sql') ON CONFLICT DO NOTHING;

RESET client_min_messages;
