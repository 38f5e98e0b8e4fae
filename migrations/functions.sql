-- What is replaced as a whole: the functions, and with grading_secure() the rights. Applied after
-- all numbered files, and again whenever its text has changed; it makes no table and drops nothing.
--
-- grading_uuid()         keys of jobs, in the order of time
-- grading_enqueue()      a transcript becomes jobs
-- grading_open_jobs()    how many of a session's jobs wait or are being rated
-- grading_progress()     how far a session is
-- grading_ratings()      its ratings, from a cursor on
-- grading_line_ratings   a view: all ratings, with their provenance
-- grading_count()        moves the counters of sessions; for the next three
-- grading_retry_many(), grading_retry()   failed jobs wait again
-- grading_cancel()       open jobs end as failed
-- grading_secure()       roles, privileges, policies, owners
--
-- grading_may_read() is the application's and stands in 089, grading_jobs_wake() with its trigger
-- in 082.
--
-- Some functions act with the rights of their owner (grading_secure() sees to that and to their
-- search_path), so that whoever may call them needs no right on a table. Where others may create
-- functions and operators in our schema, one that fits the types of a call better than pg_catalog's
-- would be theirs, and run with our rights. So a function that takes any types is named with its
-- schema, a literal with its type, and no operator is left to find out that one of its sides must
-- be converted.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- A uuid of version 7 (RFC 9562, 5.7, and 6.2 method 3): 48 bits of milliseconds, 12 bits of the
-- fraction below, random bits. Keys in the order of their creation keep inserts at the right edge
-- of the index, and a session's batches in order. As a column's default it is run by
-- grading_enqueue().
CREATE OR REPLACE FUNCTION grading_uuid() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
	SELECT encode(
		overlay(uuid_send(gen_random_uuid()) PLACING
			int8send((us / 1000) << 16 | x'7000'::bigint
				| (us % 1000::bigint) * 4096 / 1000) FROM 1 FOR 8),
		'hex'::text)::uuid
	FROM (
		SELECT (extract(epoch FROM clock_timestamp()) * 1000000::numeric)::bigint AS us)
			AS now
$$;

-- Splits a transcript into jobs of batch_size entries and announces the session, in one statement.
-- Returns the number of jobs made: 0 when the session is there already, so calling it twice is
-- harmless.
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
	textless integer;
	speakers text;
BEGIN
	IF session_id IS NULL THEN
		RAISE EXCEPTION 'session_id is null' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF transcript IS NULL OR jsonb_typeof(transcript) <> 'array'::text THEN
		RAISE EXCEPTION 'transcript must be a JSON array of {"speaker", "text"} objects'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'batch_size is %; it must be from 1 to 1000',
			coalesce(batch_size::text, 'null'::text)
			USING ERRCODE = 'invalid_parameter_value';
	END IF;

	batches := (jsonb_array_length(transcript) + batch_size - 1) / batch_size;
	-- As the workers read it: speaker rep or user, and some character that is not Unicode
	-- White_Space.
	SELECT count(*) FILTER (WHERE
			pg_catalog.concat(entry ->> 'text'::text, entry ->> 'message'::text)
			~ ('[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a'::text
				|| '\u2028\u2029\u202f\u205f\u3000]'::text)),
		count(*) FILTER (WHERE
			coalesce(entry ->> 'text'::text, entry ->> 'message'::text) IS NULL)
	INTO lines, textless FROM jsonb_array_elements(transcript) AS t(entry)
	WHERE lower(btrim(entry ->> 'speaker'::text, E' \t\r\n'::text))
		= ANY(ARRAY['rep'::text, 'user'::text]);

	INSERT INTO grading_sessions AS s (session_id, total_batches, total_lines, announced,
		completed_at)
	VALUES (session_id, batches, lines, true, CASE WHEN batches = 0 THEN now() END)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;

	-- A slip of the pen in a key or a speaker's name would else go unnoticed.
	IF lines = 0 AND batches > 0 THEN
		SELECT pg_catalog.string_agg(found.speaker, ', '::text) INTO speakers FROM (
			SELECT DISTINCT coalesce('"'::text || "left"(entry ->> 'speaker'::text, 40)
				|| '"'::text, 'none'::text) AS speaker
			FROM jsonb_array_elements(transcript) AS t(entry)
			ORDER BY speaker LIMIT 5) AS found;
		RAISE NOTICE 'session %: nothing is rated: no line of speaker "rep" or "user" has a'
			' "text" (speakers found: %)', session_id, speakers;
	ELSIF textless > 0 THEN
		RAISE NOTICE 'session %: not rated, because they have no "text": % of the lines of'
			' speaker "rep" or "user"', session_id, textless;
	END IF;

	INSERT INTO grading_jobs (session_id, job_type, job_data, priority)
	SELECT session_id, 'line_rating'::text, pg_catalog.jsonb_build_object(
		'transcript'::text, pg_catalog.jsonb_agg(
			-- An entry without an index of its own gets its place in the whole
			-- transcript.
			CASE WHEN jsonb_typeof(entry) = 'object'::text
				AND coalesce(nullif(entry -> 'index'::text, 'null'::jsonb),
					nullif(entry -> 'line_number'::text, 'null'::jsonb)) IS NULL
			THEN entry || pg_catalog.jsonb_build_object('index'::text, place - 1)
			ELSE entry END ORDER BY place),
		'batchIndex'::text, (place - 1) / batch_size,
		'batchSize'::text, batch_size,
		'totalBatches'::text, batches,
		'salesRepName'::text, coalesce(sales_rep_name, ''::text),
		'customerName'::text, coalesce(customer_name, ''::text)), coalesce(priority, 0)
	FROM jsonb_array_elements(transcript) WITH ORDINALITY AS t(entry, place)
	GROUP BY (place - 1) / batch_size
	ORDER BY (place - 1) / batch_size;
	RETURN batches;
END $$;

-- How many jobs of a session wait or are being rated. With the rights of its owner, because who may
-- see a session's progress need not see the queue; of other sessions a user learns nothing.
CREATE OR REPLACE FUNCTION grading_open_jobs(session_id uuid) RETURNS integer
LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.count(*)::integer FROM grading_jobs g
	WHERE g.session_id = grading_open_jobs.session_id
	  -- As the index says it.
	  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text) IS TRUE
	  -- Else it would tell what row-level security hides.
	  AND (pg_catalog.has_table_privilege(
	           coalesce(nullif(pg_catalog.current_setting('role'::text), 'none'::text),
	                    session_user::text)::name,
	           'grading_jobs'::regclass::oid, 'SELECT'::text)
	       OR grading_may_read(g.session_id))
$$;

-- How far a session is; no row when it is not known. eta_seconds is an estimate from the pace so
-- far, null before there is one. It looks into the queue in the same snapshot as at the counters:
-- over is what has no open job, and there are at least as many batches as are settled or open.
-- Plain rows that nobody has claimed yet make a session, too.
CREATE OR REPLACE FUNCTION grading_progress(session_id uuid)
RETURNS TABLE (
	status text,
	batches_done integer, batches_failed integer, batches_total integer,
	lines_done integer, lines_total integer,
	percent numeric, eta_seconds numeric,
	started_at timestamptz, first_rated_at timestamptz, completed_at timestamptz
)
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN p.counted AND p.open > 0 THEN 'processing' ELSE s.status END,
	       p.done, s.failed_batches, p.total,
	       s.rated_lines, greatest(s.total_lines, s.rated_lines),
	       CASE WHEN p.counted AND p.open = 0 THEN 100
	            WHEN p.total = 0 THEN 0
	            ELSE round(100.0 * p.done / p.total, 1) END,
	       CASE WHEN p.counted AND p.open = 0 THEN 0
	            WHEN p.done > 0 THEN
	                round(extract(epoch FROM clock_timestamp() - s.started_at)
	                      * (p.total - p.done) / p.done, 1) END,
	       s.started_at, s.first_rated_at, CASE WHEN p.open = 0 THEN s.completed_at END
	FROM grading_sessions s
	CROSS JOIN LATERAL (
		SELECT s.status IN ('completed', 'failed') AS counted,
			s.completed_batches + s.failed_batches AS done,
			grading_open_jobs(s.session_id) AS open
		OFFSET 0) AS q	-- asked once, not wherever it is named
	CROSS JOIN LATERAL (
		SELECT q.*, greatest(s.total_batches, q.done + q.open) AS total) AS p
	WHERE s.session_id = grading_progress.session_id
	UNION ALL
	SELECT 'queued', 0, 0, o.open, 0, 0, 0, NULL, NULL, NULL, NULL
	FROM (SELECT grading_open_jobs(grading_progress.session_id) AS open OFFSET 0) AS o
	WHERE o.open > 0 AND NOT EXISTS (
		SELECT FROM grading_sessions n WHERE n.session_id = grading_progress.session_id)
$$;

-- A session's ratings newer than a cursor (0: all), oldest first. Pass the highest cursor seen as
-- the next `since`: no rating is ever missed, because a session's cursors are given out in the
-- order of commit and never go back. A provenance is a document that many ratings share, and beside
-- it what differs from one to the next: when it was given, and whether it came from the cache.
-- Ratings that an earlier release stored have one of their own.
CREATE OR REPLACE FUNCTION grading_ratings(session_id uuid, since bigint DEFAULT 0)
RETURNS TABLE (
	cursor bigint, line_index integer, line_text text, rating text, alternatives text[],
	reason text, cached boolean, rated_at timestamptz, provenance jsonb
)
LANGUAGE sql STABLE AS $$
	SELECT r.seq, r.line_index, r.line_text, r.rating, r.alternatives, r.reason, r.cached,
	       r.rated_at, coalesce(p.document || pg_catalog.jsonb_build_object(
		       'at'::text, to_char(
			       coalesce(r.given_at, r.rated_at) AT TIME ZONE 'UTC'::text,
			       'YYYY-MM-DD"T"HH24:MI:SS"Z"'::text),
		       'source'::text, CASE WHEN r.cached THEN 'cache'::text
			       ELSE 'fresh'::text END), r.provenance)
	FROM line_ratings r LEFT JOIN grading_provenance p ON p.id = r.provenance_id
	WHERE r.session_id = grading_ratings.session_id AND r.seq > coalesce(since, 0::bigint)
	ORDER BY r.seq
$$;

-- The same of all sessions. With its reader's rights where Postgres knows of that (from 15 on),
-- else with its owner's, so grading_secure() gives it to those alone who see all ratings anyway.
CREATE OR REPLACE VIEW grading_line_ratings AS
	SELECT r.session_id, r.line_index, r.line_text, r.rating, r.alternatives, r.reason,
	       r.cached, r.job_id, r.seq, r.rated_at,
	       coalesce(p.document || pg_catalog.jsonb_build_object(
		       'at'::text, to_char(
			       coalesce(r.given_at, r.rated_at) AT TIME ZONE 'UTC'::text,
			       'YYYY-MM-DD"T"HH24:MI:SS"Z"'::text),
		       'source'::text, CASE WHEN r.cached THEN 'cache'::text
			       ELSE 'fresh'::text END), r.provenance) AS provenance
	FROM line_ratings r LEFT JOIN grading_provenance p ON p.id = r.provenance_id;

DO $$ BEGIN
	IF pg_catalog.current_setting('server_version_num'::text)::integer >= 150000 THEN
		ALTER VIEW grading_line_ratings SET (security_invoker = true);
	END IF;
END $$;

COMMENT ON VIEW grading_line_ratings IS 'line_ratings with the provenance of each rating';

-- Moves the counters of sessions, an item each in all arrays: how many batches one is announced as,
-- how many jobs are completed and failed more or fewer, how many lines are to be rated and skipped
-- more or fewer. The rule is that of the daemon's statements, whose pieces taken_back.sql and
-- counters.sql it repeats word for word; no function counts by itself.
CREATE OR REPLACE FUNCTION grading_count(
	session_ids uuid[], batches integer[], completed integer[], failed integer[],
	lines integer[], skipped integer[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	WITH counted AS (
		SELECT u.session_id, u.batches, u.completed, u.failed, u.lines, 0 AS rated,
			u.skipped, 0 AS stored, NULL::timestamptz AS started_at
		FROM unnest(session_ids, batches, completed, failed, lines, skipped)
			AS u(session_id, batches, completed, failed, lines, skipped)
	), moved AS (
		SELECT c.session_id, c.batches, greatest(c.completed, c.bound) AS completed,
			greatest(c.failed, c.bound) AS failed, greatest(c.lines, c.bound) AS lines,
			c.rated, greatest(c.skipped, c.bound) AS skipped, c.stored, c.started_at
		FROM (
			SELECT counted.*, CASE WHEN least(counted.completed, counted.failed,
					counted.lines, counted.skipped) < 0
				AND (SELECT true FROM grading_sessions there
					WHERE there.session_id = counted.session_id) IS NULL
				THEN 0 ELSE -2147483647 END AS bound
			FROM counted OFFSET 0
		) AS c
	)
	INSERT INTO grading_sessions AS s (session_id, total_batches, completed_batches,
		failed_batches, total_lines, rated_lines, skipped_lines, rated_seq, started_at,
		first_rated_at, completed_at)
	SELECT m.session_id, greatest(m.batches, m.completed + m.failed), m.completed, m.failed,
		m.lines, m.rated, m.skipped, m.stored, m.started_at,
		CASE WHEN m.stored > 0 THEN now() END,
		CASE WHEN m.completed + m.failed >= greatest(m.batches, 1) THEN now() END
	FROM moved m
	ORDER BY m.session_id
	ON CONFLICT (session_id) DO UPDATE SET
		total_batches = greatest(s.total_batches, excluded.total_batches,
			s.completed_batches + s.failed_batches
				+ excluded.completed_batches + excluded.failed_batches),
		completed_batches = s.completed_batches + excluded.completed_batches,
		failed_batches = s.failed_batches + excluded.failed_batches,
		total_lines = CASE WHEN s.announced THEN s.total_lines
			ELSE greatest(s.total_lines + excluded.total_lines, 0) END,
		rated_lines = s.rated_lines + excluded.rated_lines,
		skipped_lines = greatest(s.skipped_lines + excluded.skipped_lines, 0),
		rated_seq = s.rated_seq + excluded.rated_seq,
		started_at = least(s.started_at, excluded.started_at),
		first_rated_at = least(s.first_rated_at, excluded.first_rated_at),
		completed_at = CASE WHEN s.completed_batches + s.failed_batches
				+ excluded.completed_batches + excluded.failed_batches
				>= greatest(s.total_batches, excluded.total_batches, 1)
			THEN greatest(s.updated_at, now()) END,
		updated_at = greatest(s.updated_at, now());
END $$;

-- The failed jobs of these sessions wait again, with all their attempts before them. Returns how
-- many. What a failed job was counted for (its batch, and its lines where they are not known
-- beforehand) is taken back, so that it is counted anew when it is settled; where a job was made to
-- fail by hand that is left to its settlement. Jobs are locked in one order, before their sessions.
CREATE OR REPLACE FUNCTION grading_retry_many(session_ids uuid[]) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	retried integer;
	counted record;
BEGIN
	WITH failed AS MATERIALIZED (
		SELECT g.id, g.counted_as,
			CASE WHEN jsonb_typeof(g.result) = 'object'::text THEN g.result END
				AS result
		FROM grading_jobs g
		WHERE g.status::text = 'failed'::text AND g.session_id = ANY(session_ids)
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET status = 'pending'::text, attempts = 0,
			available_at = now(), updated_at = now(), error = NULL, failed_at = NULL,
				completed_at = NULL,
			claimed_by = NULL, counted_as = CASE WHEN failed.counted_as = 'failed'::text
				THEN NULL ELSE failed.counted_as END,
			-- What earlier attempts took stays; how many lines are counted is said
			-- where they are.
			result = failed.result - ARRAY['lines'::text, 'rated'::text,
				'skipped'::text, 'cached'::text, 'unrated'::text]
		FROM failed WHERE g.id = failed.id
		RETURNING g.session_id, failed.counted_as AS was,
			CASE WHEN jsonb_typeof(failed.result -> 'lines'::text) = 'number'::text
				THEN least(greatest((failed.result ->> 'lines'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS lines,
			CASE WHEN jsonb_typeof(failed.result -> 'skipped'::text) = 'number'::text
				THEN least(greatest((failed.result ->> 'skipped'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS skipped
	), taken AS (
		SELECT put.session_id, pg_catalog.count(*)::integer AS failed,
			sum(put.lines)::integer AS lines, sum(put.skipped)::integer AS skipped
		FROM put WHERE put.was = 'failed'::text GROUP BY put.session_id
	)
	SELECT (SELECT pg_catalog.count(*)::integer FROM put) AS jobs,
		pg_catalog.array_agg(taken.session_id) AS session_ids,
		pg_catalog.array_agg(0) AS none, pg_catalog.array_agg(-taken.failed) AS failed,
		pg_catalog.array_agg(-taken.lines) AS lines,
		pg_catalog.array_agg(-taken.skipped) AS skipped
	INTO counted FROM taken;

	PERFORM grading_count(counted.session_ids, counted.none, counted.none, counted.failed,
		counted.lines, counted.skipped);
	IF counted.jobs > 0 THEN
		-- Wakes pools that sleep.
		PERFORM pg_catalog.pg_notify('grading_jobs'::text, ''::text);
	END IF;
	RETURN counted.jobs;
END $$;

-- The failed jobs of one session.
CREATE OR REPLACE FUNCTION grading_retry(session_id uuid) RETURNS integer
LANGUAGE sql AS $$
	SELECT grading_retry_many(ARRAY[grading_retry.session_id])
$$;

-- Ends the jobs of a session that wait or are being rated, as failed. Returns how many. A worker
-- that has one in hand finds at its settlement that the claim is no longer its own, and drops what
-- it has; ratings that are stored stay.
CREATE OR REPLACE FUNCTION grading_cancel(session_id uuid) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	counted record;
BEGIN
	WITH open AS MATERIALIZED (
		SELECT g.id, g.counted_as, g.job_data -> 'totalBatches'::text AS announced,
			CASE WHEN jsonb_typeof(g.result) = 'object'::text THEN g.result END
				AS result
		FROM grading_jobs g
		WHERE (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
		  AND g.session_id = grading_cancel.session_id
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET status = 'failed'::text, error = 'cancelled'::text,
			claim = nextval('grading_claims'::regclass), claimed_by = NULL,
			failed_at = now(),
			completed_at = NULL, updated_at = now(), counted_as = 'failed'::text,
			-- Its lines were never counted, and grading_retry() is not to take them
			-- back.
			result = CASE WHEN open.counted_as IS NULL THEN open.result
				- ARRAY['lines'::text, 'rated'::text, 'skipped'::text,
					'cached'::text, 'unrated'::text]
				ELSE g.result END
		FROM open WHERE g.id = open.id
		RETURNING g.session_id, open.counted_as AS was,
			CASE WHEN jsonb_typeof(open.announced) = 'number'::text
				THEN least(greatest((open.announced #>> '{}'::text[])::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS batches
	), moved AS (
		SELECT put.session_id, pg_catalog.count(*)::integer AS jobs,
			max(put.batches) AS batches,
			pg_catalog.count(*) FILTER (WHERE put.was = 'completed'::text)::integer
				AS uncompleted,
			pg_catalog.count(*) FILTER (
				WHERE put.was IS DISTINCT FROM 'failed'::text)::integer AS failed
		FROM put GROUP BY put.session_id
	)
	SELECT moved.* INTO counted FROM moved;

	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	PERFORM grading_count(ARRAY[counted.session_id], ARRAY[counted.batches],
		ARRAY[-counted.uncompleted], ARRAY[counted.failed], ARRAY[0], ARRAY[0]);
	RETURN counted.jobs;
END $$;

-- Puts roles, privileges and policies as they should be, on those of our tables and functions that
-- exist. May be called again at any time by the owner of the tables: after a migration that makes a
-- table, after a role was created. Tables are locked in the order in which the daemon locks rows.
-- 089 says what the roles are for.
CREATE OR REPLACE FUNCTION grading_secure() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	tables constant text[] := ARRAY['grading_migrations', 'grading_jobs', 'phrase_cache',
		'phrase_flights', 'grading_sessions', 'line_ratings', 'grading_provenance'];
	sequences constant text[] := ARRAY['grading_claims', 'grading_cursors'];
	functions constant text[] := ARRAY['grading_uuid', 'grading_jobs_wake', 'grading_enqueue',
		'grading_progress', 'grading_ratings', 'grading_count', 'grading_retry',
		'grading_retry_many', 'grading_cancel', 'grading_may_read', 'grading_open_jobs',
		'grading_secure'];
	-- Role, table or function, privileges.
	rights constant text[] := ARRAY[
		['gradingd_worker', 'grading_migrations', 'SELECT'],
		['gradingd_worker', 'grading_jobs', 'SELECT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_cache', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_flights', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_sessions', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'line_ratings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_provenance', 'SELECT, INSERT'],
		['gradingd_worker', 'grading_progress', 'EXECUTE'],
		['gradingd_worker', 'grading_open_jobs', 'EXECUTE'],
		['gradingd_worker', 'grading_ratings', 'EXECUTE'],
		['gradingd_worker', 'grading_count', 'EXECUTE'],
		['gradingd_worker', 'grading_retry', 'EXECUTE'],
		['gradingd_worker', 'grading_retry_many', 'EXECUTE'],
		['gradingd_worker', 'grading_cancel', 'EXECUTE'],
		['grading_app', 'grading_migrations', 'SELECT'],
		['grading_app', 'grading_jobs',
		 'SELECT, INSERT (id, session_id, job_type, job_data, priority, available_at)'],
		['grading_app', 'grading_jobs', 'INSERT (tenant, profile)'],
		['grading_app', 'grading_sessions', 'SELECT'],
		['grading_app', 'line_ratings', 'SELECT'],
		['grading_app', 'grading_provenance', 'SELECT'],
		['grading_app', 'grading_line_ratings', 'SELECT'],
		['grading_app', 'grading_uuid', 'EXECUTE'],
		['grading_app', 'grading_enqueue', 'EXECUTE'],
		['grading_app', 'grading_progress', 'EXECUTE'],
		['grading_app', 'grading_open_jobs', 'EXECUTE'],
		['grading_app', 'grading_ratings', 'EXECUTE'],
		['grading_app', 'grading_retry', 'EXECUTE'],
		['grading_app', 'grading_retry_many', 'EXECUTE'],
		['grading_app', 'grading_cancel', 'EXECUTE'],
		['authenticated', 'grading_sessions', 'SELECT'],
		['authenticated', 'line_ratings', 'SELECT'],
		['authenticated', 'grading_provenance', 'SELECT'],
		['authenticated', 'grading_progress', 'EXECUTE'],
		['authenticated', 'grading_open_jobs', 'EXECUTE'],
		['authenticated', 'grading_ratings', 'EXECUTE'],
		['authenticated', 'grading_may_read', 'EXECUTE']];
	-- What a right on a table brought before functions were for some only: privilege, table,
	-- function.
	usual constant text[] := ARRAY[
		['INSERT', 'grading_jobs', 'grading_uuid'],
		['INSERT', 'grading_jobs', 'grading_enqueue'],
		['SELECT', 'grading_sessions', 'grading_progress'],
		['SELECT', 'grading_sessions', 'grading_open_jobs'],
		['SELECT', 'line_ratings', 'grading_ratings'],
		['UPDATE', 'grading_sessions', 'grading_count'],
		['UPDATE', 'grading_jobs', 'grading_retry'],
		['UPDATE', 'grading_jobs', 'grading_retry_many'],
		['UPDATE', 'grading_jobs', 'grading_cancel']];
	-- Those that act with the rights of their owner, so that a caller needs none on a table.
	trusted constant text[] := ARRAY['grading_enqueue', 'grading_retry', 'grading_retry_many',
		'grading_cancel', 'grading_open_jobs'];
	-- Those that act with their caller's, and find what the path of whoever calls this names.
	pathed constant text[] := ARRAY['grading_progress', 'grading_ratings', 'grading_count'];
	strangers constant text[] := ARRAY['anon', 'authenticated'];
	ours constant text[] := ARRAY['gradingd_worker', 'grading_app'];
	policies constant text[] := ARRAY['grading_worker', 'grading_app_select',
		'grading_app_insert', 'grading_reader', 'grading_kept'];
	-- Found by the path of whoever calls this. After that only pg_catalog's functions and
	-- operators are: where others may create some in our schema, they would be run with the
	-- rights of a superuser who was asked to call this.
	relations constant regclass[] := ARRAY(
		SELECT pg_catalog.to_regclass(t) FROM pg_catalog.unnest(tables) AS t);
	procedures constant regprocedure[] := ARRAY(SELECT p.oid FROM pg_catalog.pg_proc AS p
		WHERE p.proname OPERATOR(pg_catalog.=) ANY (functions)
		  AND pg_catalog.pg_function_is_visible(p.oid));
	path constant text := (
		SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s::text), ', '::text)
		FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s);
	path_before constant text := pg_catalog.current_setting('search_path'::text);
	jobs constant regclass := relations[2];
	sessions constant regclass := relations[5];
	ratings constant regclass := relations[6];
	ratings_view constant regclass := pg_catalog.to_regclass('grading_line_ratings');
	numbers constant regclass[] := ARRAY(
		SELECT pg_catalog.to_regclass(s) FROM pg_catalog.unnest(sequences) AS s);
	present text[];
	name text;
	role text;
	policy text;
	privilege text;
	item record;
	target text;
	target_oid oid;
	others text;
	kept text;
	protected boolean;
BEGIN
	PERFORM pg_catalog.set_config('search_path'::text, 'pg_catalog, pg_temp'::text, true);
	FOREACH name IN ARRAY ours LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
			BEGIN
				EXECUTE format('CREATE ROLE %I NOLOGIN', name);
			EXCEPTION
				-- Made for another database just now.
				WHEN duplicate_object OR unique_violation THEN NULL;
				WHEN insufficient_privilege THEN
					RAISE NOTICE 'the role % was not created: % may not create'
						' roles',
						name, current_user
						USING HINT = 'Have it created, NOLOGIN; then:'
							' SELECT grading_secure();';
			END;
		END IF;
	END LOOP;
	present := ARRAY(SELECT rolname FROM pg_roles WHERE rolname = ANY(ours || strangers));

	FOREACH name IN ARRAY tables LOOP
		SELECT c.oid, c.relowner, c.relacl, c.relrowsecurity, n.nspname,
			pg_get_userbyid(c.relowner) AS owner
		INTO item FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = relations[array_position(tables, name)] AND c.relkind IN ('r', 'p');
		CONTINUE WHEN NOT FOUND;
		target := format('%I.%I', item.nspname, name);
		BEGIN
			-- Those who have a right on it keep it. Where security was on before, its
			-- policies say what they see.
			protected := item.relrowsecurity AND NOT EXISTS (
				SELECT FROM pg_policy
				WHERE polrelid = item.oid AND polname = 'grading_kept');
			SELECT string_agg(DISTINCT quote_ident(r.rolname), ', ') INTO kept
			FROM (SELECT item.relacl AS acl UNION ALL
			      SELECT attacl FROM pg_attribute
			      WHERE attrelid = item.oid AND attacl IS NOT NULL) AS acls,
				aclexplode(acl) AS a JOIN pg_roles r ON r.oid = a.grantee
			WHERE a.grantee <> item.relowner AND r.rolname <> ALL(ours || strangers)
			  AND NOT r.rolsuper AND NOT r.rolbypassrls;
			SELECT string_agg(quote_ident(polname), ', ') INTO others FROM pg_policy
			WHERE polrelid = item.oid AND polname <> ALL(policies)
			  AND (0::oid = ANY(polroles) OR polroles && ARRAY(
			       SELECT oid FROM pg_roles WHERE rolname = ANY(strangers)));

			IF NOT item.relrowsecurity THEN
				EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
			END IF;
			EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', target);
			FOREACH role IN ARRAY present LOOP
				EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', target, role);
			END LOOP;
			FOR policy IN
				SELECT polname FROM pg_policy
				WHERE polrelid = item.oid AND polname = ANY(policies)
			LOOP
				EXECUTE format('DROP POLICY %I ON %s', policy, target);
			END LOOP;

			IF 'gradingd_worker' = ANY(present) THEN
				EXECUTE format('CREATE POLICY grading_worker ON %s'
				               ' TO gradingd_worker USING (true)', target);
			END IF;
			IF 'grading_app' = ANY(present) AND name NOT LIKE 'phrase%' THEN
				EXECUTE format('CREATE POLICY grading_app_select ON %s FOR SELECT'
				               ' TO grading_app USING (true)', target);
			END IF;
			IF 'grading_app' = ANY(present) AND name = 'grading_jobs' THEN
				EXECUTE format('CREATE POLICY grading_app_insert ON %s FOR INSERT'
				               ' TO grading_app WITH CHECK (true)', target);
			END IF;
			IF 'authenticated' = ANY(present)
			   AND name IN ('grading_sessions', 'line_ratings') THEN
				EXECUTE format('CREATE POLICY grading_reader ON %s FOR SELECT'
				               ' TO authenticated USING (%s(session_id))', target,
				               (SELECT p.oid::regproc FROM pg_proc p
				                WHERE p.oid = ANY(procedures)
				                  AND p.proname = 'grading_may_read'
				                  AND p.pronargs = 1
				                  AND p.proargtypes[0] = 'uuid'::regtype));
			END IF;
			-- Nothing in it is of one session, so rights alone decide: whoever reads
			-- or writes ratings has them on what these refer to.
			IF name = 'grading_provenance' THEN
				EXECUTE format('CREATE POLICY grading_reader ON %s USING (true)',
				               target);
				FOR role, privilege IN
					SELECT DISTINCT r.rolname, a.privilege_type
					FROM (SELECT relacl AS acl FROM pg_class WHERE oid = ratings
					      UNION ALL
					      SELECT attacl FROM pg_attribute
					      WHERE attrelid = ratings) AS acls,
						aclexplode(acl) AS a JOIN pg_roles r
							ON r.oid = a.grantee
					WHERE a.privilege_type IN ('SELECT', 'INSERT')
					  AND r.rolname <> ALL(ours || strangers)
				LOOP
					EXECUTE format('GRANT %s ON TABLE %s TO %I', privilege,
					               target, role);
				END LOOP;
			ELSIF kept IS NOT NULL AND NOT protected THEN
				EXECUTE format('CREATE POLICY grading_kept ON %s TO %s'
				               ' USING (true)', target, kept);
			END IF;
			FOR i IN 1 .. array_length(rights, 1) LOOP
				-- With policies of others on it, a right would be worth more than
				-- grading_may_read() says.
				IF rights[i][2] = name AND rights[i][1] = ANY(present)
				   AND (rights[i][1] <> ALL(strangers) OR others IS NULL) THEN
					EXECUTE format('GRANT %s ON TABLE %s TO %I', rights[i][3],
					               target, rights[i][1]);
				END IF;
			END LOOP;
			IF others IS NOT NULL THEN
				RAISE WARNING 'the table % has policies (%) for anon or'
					' authenticated, who no longer have any right on it', name,
						others
					USING HINT = 'Where they are meant, grant what they need'
						' anew.';
			END IF;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the table % is not secured: it belongs to %', name,
				item.owner
				USING HINT = format('As %I or a superuser:'
					' SELECT grading_secure();', item.owner);
		END;
	END LOOP;

	-- Whoever inserts a job draws a number; who only draws some does no harm.
	FOR item IN
		SELECT c.oid::regclass AS target, c.relname, c.relkind,
			pg_get_userbyid(c.relowner) AS owner
		FROM pg_class c WHERE c.oid = ANY(numbers || ratings_view) AND c.relkind IN ('S', 'v')
	LOOP
		BEGIN
			IF item.relkind = 'S' THEN
				EXECUTE format('GRANT USAGE ON SEQUENCE %s TO PUBLIC', item.target);
				CONTINUE;
			END IF;
			EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', item.target);
			FOREACH role IN ARRAY present LOOP
				EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', item.target, role);
			END LOOP;
			FOR i IN 1 .. array_length(rights, 1) LOOP
				IF rights[i][2] = item.relname AND rights[i][1] = ANY(present) THEN
					EXECUTE format('GRANT %s ON TABLE %s TO %I', rights[i][3],
					               item.target, rights[i][1]);
				END IF;
			END LOOP;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the rights on % are not set: it belongs to %', item.relname,
				item.owner
				USING HINT = format('As %I or a superuser:'
					' SELECT grading_secure();', item.owner);
		END;
	END LOOP;

	FOR item IN
		SELECT p.oid, p.proname, p.oid::regprocedure AS target, p.proowner, p.proacl
		FROM pg_proc p WHERE p.oid = ANY(procedures)
	LOOP
		BEGIN
			-- One of the same name with other arguments may be anybody's.
			IF pg_get_userbyid(item.proowner) <> current_user AND NOT EXISTS (
				SELECT FROM pg_class
				WHERE oid = ANY(relations) AND relowner = item.proowner) THEN
				RAISE insufficient_privilege;
			END IF;
			EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.target);
			FOREACH role IN ARRAY present LOOP
				EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', item.target,
					role);
			END LOOP;
			FOR i IN 1 .. array_length(rights, 1) LOOP
				IF rights[i][2] = item.proname AND rights[i][1] = ANY(present) THEN
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
					               item.target, rights[i][1]);
				END IF;
			END LOOP;
			FOR i IN 1 .. array_length(usual, 1) LOOP
				CONTINUE WHEN usual[i][3] <> item.proname;
				target_oid := relations[array_position(tables, usual[i][2])];
				FOR role IN
					SELECT DISTINCT r.rolname
					FROM (SELECT relacl AS acl FROM pg_class
						WHERE oid = target_oid
					      UNION ALL
					      SELECT attacl FROM pg_attribute
					      WHERE attrelid = target_oid) AS acls,
						aclexplode(acl) AS a JOIN pg_roles r
							ON r.oid = a.grantee
					WHERE a.privilege_type = usual[i][1]
					  AND r.rolname <> ALL(ours || strangers)
				LOOP
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
					               item.target, role);
				END LOOP;
			END LOOP;
			-- The path of whoever calls this, for what the application's triggers name;
			-- temporary tables last.
			IF item.proname = ANY(trusted || pathed) THEN
				EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s,'
				               ' pg_temp', item.target, path);
			END IF;
			-- The triggers of a table's owner run with its rights, so it must be his:
			-- he who migrated has more, perhaps.
			IF item.proname = ANY(trusted) THEN
				EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER', item.target);
				SELECT pg_get_userbyid(relowner) INTO role
				FROM pg_class WHERE oid = jobs;
				BEGIN
					IF EXISTS (SELECT FROM pg_class WHERE oid = sessions
					           AND relowner = item.proowner) THEN
						EXECUTE format('ALTER TABLE %s OWNER TO %I',
						               sessions, role);
					END IF;
					IF EXISTS (SELECT FROM pg_class WHERE oid = sessions
					           AND pg_get_userbyid(relowner) <> role) THEN
						RAISE insufficient_privilege;
					END IF;
					EXECUTE format('ALTER FUNCTION %s OWNER TO %I',
					               item.target, role);
					EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER',
					               item.target);
				EXCEPTION WHEN insufficient_privilege THEN
					RAISE WARNING '%() works for those alone who may write to'
						' the tables themselves: it, grading_jobs and'
						' grading_sessions do not all belong to %',
						item.proname, role
						USING HINT = 'As a superuser:'
							' SELECT grading_secure();';
				END;
			END IF;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the function % is not secured: it belongs to %',
				item.proname,
				pg_get_userbyid(item.proowner);
		END;
	END LOOP;

	-- In public everybody may look things up; in a schema of one's own nobody else may.
	FOR name, role IN
		SELECT DISTINCT n.nspname, r
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(present) AS r
		WHERE c.oid = ANY(relations) AND r = ANY(ours)
		  AND NOT has_schema_privilege(r, n.oid, 'USAGE')
	LOOP
		BEGIN
			EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', name, role);
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the role % may not use the schema %', role, name;
		END;
	END LOOP;
	PERFORM set_config('search_path', path_before, true);
END $$;

COMMENT ON FUNCTION grading_open_jobs(uuid) IS
	'how many jobs of the session wait or are being rated';
COMMENT ON FUNCTION grading_progress(uuid) IS
	'how far a session is; over when none of its jobs is open, however many are still to come';
COMMENT ON FUNCTION grading_count(uuid[], integer[], integer[], integer[], integer[], integer[]) IS
	'moves the counters of sessions; grading_retry() and grading_cancel() call it';
COMMENT ON FUNCTION grading_retry(uuid) IS
	'puts the session''s failed jobs back into the queue; returns how many';
COMMENT ON FUNCTION grading_retry_many(uuid[]) IS 'as grading_retry(), for many sessions at once';
COMMENT ON FUNCTION grading_cancel(uuid) IS
	'ends the session''s open jobs as failed, "cancelled"; returns how many';
COMMENT ON FUNCTION grading_secure() IS
	'roles, privileges and policies as they should be; harmless to call again';

SET client_min_messages = error;	-- what could not be secured, 089 has said
DO $$ BEGIN PERFORM grading_secure(); END $$;

-- Version 0, so that the highest is a numbered file's. psql knows no checksum: then there is none.
INSERT INTO grading_migrations (version, name) VALUES (0, 'functions.sql')
ON CONFLICT (version) DO UPDATE SET checksum = NULL, applied_at = now();

RESET lock_timeout;
RESET client_min_messages;
