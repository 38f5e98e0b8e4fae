-- What is replaced as a whole: the functions, and with grading_secure() the rights. Applied after
-- all numbered files, and again whenever its text has changed. It makes no table, and drops only
-- what it makes anew with other arguments.
--
-- grading_uuid()         keys of jobs, in the order of time
-- grading_submit(), grading_enqueue()     a transcript becomes jobs; before them, their parts
-- grading_open_jobs()    how many of a session's jobs wait or are being rated
-- grading_progress()     how far a session is
-- grading_ratings()      its ratings, from a cursor on
-- grading_line_ratings   a view: all ratings, with their provenance
-- grading_whole()        how the session was graded as a whole, after grading_is_whole() jobs
-- grading_whole_source() by what; for the daemon
-- grading_bi_lines, _sessions, _days      views for reports, which stay as they are
-- grading_refuse_line()  says whose text a line may not replace; for the daemon
-- grading_count()        moves the counters of sessions; for the next four
-- grading_recount_many(), grading_recount()   counters as the rows say
-- grading_put_back(), grading_retry_many(), grading_retry()   failed and incomplete jobs wait again
-- grading_cancel()       open jobs end as failed
-- grading_forget_many(), grading_forget()     all that is kept of a session goes
-- grading_mirror()       shows a session in the application's live_sessions; before it, its parts
-- grading_mirror_changes()   which of these sessions the mirror must look at again
-- grading_allow_mirror() the rights that it needs there
-- grading_follow_live_sessions()   forgets with them those that the application deletes
-- grading_drop_phrase()  a phrase goes from the cache; before it, when two are the same
-- grading_follow_phrase_cache()    with it those that the application deletes
-- grading_webhooks_register(), grading_webhooks_remove()   who is told when sessions end
-- grading_secure()       roles, privileges, policies, owners
--
-- grading_may_read() is the application's and stands in 089, grading_jobs_wake() with its trigger
-- in 082, grading_jobs_place() with its own in 095, grading_jobs_keep_place() in 096,
-- grading_jobs_band() and grading_jobs_tenant() in 098.
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

-- Whose lines are rated, in small letters: rater.speakers, as a janitor wrote it down.
CREATE OR REPLACE FUNCTION grading_speakers() RETURNS text[]
LANGUAGE sql STABLE AS $$
	SELECT coalesce((
		SELECT pg_catalog.array_agg(lower(named.speaker COLLATE pg_catalog."C"))
		FROM grading_settings s CROSS JOIN LATERAL jsonb_array_elements_text(
			CASE WHEN jsonb_typeof(s.value) = 'array'::text THEN s.value
				ELSE '[]'::jsonb END) AS named(speaker)
		WHERE s.name = 'rater.speakers'::text
	), ARRAY['rep'::text, 'user'::text])
$$;

-- The entries of a transcript as the workers read them (src/queue/job.c). index is the entry's own,
-- from 0 on, -1 where what stands there is none, null where nothing does; line is what is to be
-- rated: the text of an entry of one of these speakers that has some character that is not Unicode
-- White_Space. wrong is the key of what they do not read, '' where the entry itself is that: they
-- refuse the whole job for it, whoever speaks, but look at no index where nothing is said. A text
-- has its limit in UTF-8, which is at most four times as long as in any encoding of a server.
DROP FUNCTION IF EXISTS grading_entries(jsonb, text[]);
CREATE OR REPLACE FUNCTION grading_entries(transcript jsonb, speakers text[])
RETURNS TABLE (place integer, entry jsonb, index integer, speaker text, rated boolean, line text,
	wrong text)
LANGUAGE sql IMMUTABLE AS $$
	SELECT (t.place - 1)::integer, t.entry,
		CASE WHEN said.key IS NOT NULL OR own.index >= 0 THEN own.index END,
		said.speaker, coalesce(said.speaker = ANY(speakers), false),
		CASE WHEN said.speaker = ANY(speakers) THEN own.words END,
		CASE WHEN said.key IS NULL THEN
				CASE WHEN jsonb_typeof(t.entry) <> 'object'::text THEN ''::text END
			WHEN own.words IS NULL OR octet_length(own.words) > 8192 AND 32768
				< octet_length(pg_catalog.convert_to(own.words, 'UTF8'::name))
				THEN said.key
			WHEN own.index = -1 THEN own.key END
	FROM jsonb_array_elements(CASE WHEN jsonb_typeof(transcript) = 'array'::text
		THEN transcript ELSE '[]'::jsonb END) WITH ORDINALITY AS t(entry, place)
	CROSS JOIN LATERAL (
		SELECT '[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a'::text
			|| '\u2028\u2029\u202f\u205f\u3000]'::text AS but
		OFFSET 0) AS blank
	CROSS JOIN LATERAL (
		SELECT CASE jsonb_typeof(t.entry -> 'speaker'::text) WHEN 'string'::text THEN
				lower(btrim(t.entry ->> 'speaker'::text, E' \t\r\n'::text)
					COLLATE pg_catalog."C") END AS speaker,
			CASE WHEN CASE jsonb_typeof(t.entry -> 'text'::text)
					WHEN 'string'::text THEN
						t.entry ->> 'text'::text ~ blank.but
					ELSE t.entry ->> 'text'::text IS NOT NULL END
				THEN 'text'::text
			WHEN CASE jsonb_typeof(t.entry -> 'message'::text)
					WHEN 'string'::text THEN
						t.entry ->> 'message'::text ~ blank.but
					ELSE t.entry ->> 'message'::text IS NOT NULL END
				THEN 'message'::text END AS key
		OFFSET 0) AS said
	CROSS JOIN LATERAL (
		SELECT CASE WHEN t.entry ->> 'index'::text IS NOT NULL THEN 'index'::text
			WHEN t.entry ->> 'line_number'::text IS NOT NULL THEN 'line_number'::text
			END AS key
		OFFSET 0) AS at
	CROSS JOIN LATERAL (
		SELECT at.key, CASE jsonb_typeof(t.entry -> said.key) WHEN 'string'::text
				THEN t.entry ->> said.key END AS words,
			CASE WHEN at.key IS NULL THEN NULL
			WHEN CASE jsonb_typeof(t.entry -> at.key)
				WHEN 'number'::text THEN CASE
					WHEN (t.entry ->> at.key)::numeric
						BETWEEN 0::numeric AND 2147483647::numeric
					THEN (t.entry ->> at.key)::numeric
						= trunc((t.entry ->> at.key)::numeric) END
				WHEN 'string'::text THEN CASE
					WHEN t.entry ->> at.key ~ '^(0|[1-9][0-9]{0,9})$'::text
					THEN (t.entry ->> at.key)::bigint <= 2147483647
					END END
			THEN (t.entry ->> at.key)::numeric::integer
			ELSE -1 END AS index
		OFFSET 0) AS own
	ORDER BY t.place
$$;

-- Whether a job grades its session as a whole, and so is no batch of it: full_grading, unless it
-- carries lines of its own to be rated. The daemon's statements have this as pieces/whole.sql.
CREATE OR REPLACE FUNCTION grading_is_whole(job_type text, job_data jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE job_type WHEN 'full_grading'::text
		THEN (job_data ? 'transcript'::text) IS NOT TRUE ELSE false END
$$;

-- The lines of a session that are known, with their text: those that are rated, and those of its
-- jobs that are open, have failed, or lack ratings, unless no worker reads the job. (The lines of
-- all others are rated.) An entry of a plain row without an index counts from where its batch
-- begins, as workers count: by the largest batch that the session has or had, since the last one is
-- no measure.
CREATE OR REPLACE FUNCTION grading_known_lines(session_id uuid, speakers text[])
RETURNS TABLE (index integer, line text)
LANGUAGE sql STABLE AS $$
	WITH job AS MATERIALIZED (
		SELECT g.job_data FROM grading_jobs g
		WHERE g.session_id = grading_known_lines.session_id
		  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
			IS TRUE
		  AND NOT grading_is_whole(g.job_type::text, g.job_data)
		UNION ALL
		SELECT g.job_data FROM grading_jobs g
		WHERE g.session_id = grading_known_lines.session_id
		  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
			AND (g.error IS NOT NULL
				OR g.counted_as IS DISTINCT FROM 'completed'::text))
			IS TRUE
		  AND NOT grading_is_whole(g.job_type::text, g.job_data)
	), said AS (
		SELECT job.job_data -> 'transcript'::text AS transcript, CASE
				WHEN jsonb_typeof(job.job_data -> 'ratedSpeakers'::text)
					= 'array'::text
				THEN ARRAY(SELECT lower(s.name COLLATE pg_catalog."C")
					FROM jsonb_array_elements_text(
						job.job_data -> 'ratedSpeakers'::text) AS s(name))
				ELSE grading_known_lines.speakers END AS speakers,
			CASE WHEN job.job_data ->> 'batchIndex'::text IS NULL THEN 0::numeric
				WHEN jsonb_typeof(job.job_data -> 'batchIndex'::text)
					= 'number'::text
				THEN (job.job_data ->> 'batchIndex'::text)::numeric END AS place,
			CASE WHEN job.job_data ->> 'batchSize'::text IS NULL THEN 5::numeric
				WHEN jsonb_typeof(job.job_data -> 'batchSize'::text)
					= 'number'::text
				THEN (job.job_data ->> 'batchSize'::text)::numeric END AS size,
			job.job_data ->> 'batchSize'::text IS NULL OR coalesce(CASE
				WHEN jsonb_typeof(job.job_data -> 'totalBatches'::text)
					= 'number'::text
				THEN (job.job_data ->> 'batchIndex'::text)::numeric + 1::numeric
					< (job.job_data ->> 'totalBatches'::text)::numeric END,
				false) AS is_full
		FROM job
	), batch AS (
		SELECT said.transcript, said.speakers, CASE
			WHEN said.place = 0::numeric THEN 0::numeric
			WHEN said.is_full OR told.stride IS NOT NULL
			THEN said.place * greatest(said.size, told.stride) END AS begins
		FROM said CROSS JOIN (
			SELECT greatest((
				SELECT s.stride::numeric FROM grading_sessions s
				WHERE s.session_id = grading_known_lines.session_id
			), CASE WHEN min(said.place) < max(said.place) THEN max(said.size) END)
				AS stride
			FROM said
		) AS told
	)
	SELECT r.line_index, r.line_text FROM line_ratings r
	WHERE r.session_id = grading_known_lines.session_id
	UNION ALL
	SELECT u.index, u.line FROM (
		SELECT DISTINCT ON (n.index) n.index::integer AS index, n.line
		FROM (
			SELECT coalesce(e.index::numeric, b.begins + e.place::numeric) AS index,
				e.line
			FROM batch b CROSS JOIN LATERAL (
				SELECT one.index, one.place, one.line,
					pg_catalog.count(one.wrong) OVER () AS wrong
				FROM grading_entries(b.transcript, b.speakers) AS one
			) AS e
			WHERE e.line IS NOT NULL AND e.wrong = 0
		) AS n
		WHERE n.index BETWEEN 0::numeric AND 2147483647::numeric
		ORDER BY n.index
	) AS u
	WHERE NOT EXISTS (
		SELECT FROM line_ratings r
		WHERE r.session_id = grading_known_lines.session_id AND r.line_index = u.index)
$$;

-- How many lines of a job have no rating, by what it says of itself, else by looking for them.
CREATE OR REPLACE FUNCTION grading_unrated(
	session_id uuid, job_data jsonb, result jsonb, speakers text[]
) RETURNS integer
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN jsonb_typeof(result -> 'lines'::text) = 'number'::text
			AND jsonb_typeof(result -> 'rated'::text) = 'number'::text
		THEN least(greatest((result ->> 'lines'::text)::numeric
			- (result ->> 'rated'::text)::numeric, 0::numeric),
			1000000::numeric)::integer
		ELSE (
			SELECT pg_catalog.count(*)::integer
			FROM grading_entries(job_data -> 'transcript'::text, CASE
				WHEN jsonb_typeof(job_data -> 'ratedSpeakers'::text) = 'array'::text
				THEN ARRAY(SELECT lower(s.name COLLATE pg_catalog."C")
					FROM jsonb_array_elements_text(
						job_data -> 'ratedSpeakers'::text) AS s(name))
				ELSE grading_unrated.speakers END) AS e
			WHERE e.line IS NOT NULL AND (e.index IS NULL OR NOT EXISTS (
				SELECT FROM line_ratings r
				WHERE r.session_id = grading_unrated.session_id
				  AND r.line_index = e.index)))
		END
$$;

-- Refuses options that are unknown or of the wrong type, by name.
CREATE OR REPLACE FUNCTION grading_check_options(options jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	known constant text[] := ARRAY['sales_rep_name'::text, 'customer_name'::text,
		'batch_size'::text, 'priority'::text, 'speakers'::text, 'tenant'::text,
		'profile'::text, 'full_grading'::text];
	wanted text;
	option record;
BEGIN
	IF jsonb_typeof(options) <> 'object'::text THEN
		RAISE EXCEPTION 'options must be a JSON object'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	FOR option IN
		SELECT o.key, o.value, jsonb_typeof(o.value) AS type FROM jsonb_each(options) AS o
	LOOP
		IF NOT option.key = ANY(known) THEN
			RAISE EXCEPTION 'there is no option "%"', "left"(option.key, 80)
				USING ERRCODE = 'invalid_parameter_value',
				HINT = pg_catalog.concat('The options are '::text,
					pg_catalog.array_to_string(known, ', '::text), '.'::text);
		END IF;
		CONTINUE WHEN option.type = 'null'::text;
		wanted := CASE option.key
			WHEN 'batch_size'::text THEN 'a whole number from 1 to 1000'::text
			WHEN 'priority'::text THEN
				'a whole number from -2147483648 to 2147483647'::text
			WHEN 'speakers'::text THEN 'an array of 1 to 20 names'::text
			WHEN 'full_grading'::text THEN 'true or false'::text
			ELSE 'a string'::text END;
		IF NOT coalesce(CASE option.key
			WHEN 'batch_size'::text THEN option.type = 'number'::text
				AND (option.value #>> '{}'::text[])::numeric
					BETWEEN 1::numeric AND 1000::numeric
				AND (option.value #>> '{}'::text[])::numeric
					= trunc((option.value #>> '{}'::text[])::numeric)
			WHEN 'priority'::text THEN option.type = 'number'::text
				AND (option.value #>> '{}'::text[])::numeric
					BETWEEN -2147483648::numeric AND 2147483647::numeric
				AND (option.value #>> '{}'::text[])::numeric
					= trunc((option.value #>> '{}'::text[])::numeric)
			WHEN 'speakers'::text THEN option.type = 'array'::text
				AND CASE option.type WHEN 'array'::text
					THEN jsonb_array_length(option.value) BETWEEN 1 AND 20 END
				AND NOT EXISTS (
					SELECT FROM jsonb_array_elements(CASE option.type
						WHEN 'array'::text THEN option.value
						ELSE '[]'::jsonb END) AS e(name)
					WHERE jsonb_typeof(e.name) <> 'string'::text
					   OR btrim(e.name #>> '{}'::text[], E' \t\r\n'::text)
						= ''::text)
			WHEN 'full_grading'::text THEN option.type = 'boolean'::text
			ELSE option.type = 'string'::text END, false) THEN
			RAISE EXCEPTION '% is %; it must be %', option.key,
				"left"(option.value::text, 80), wanted
				USING ERRCODE = 'invalid_parameter_value';
		END IF;
	END LOOP;
END $$;

-- Refuses entries that no worker reads, in its words, and two lines to be rated that have the same
-- index.
CREATE OR REPLACE FUNCTION grading_check_entries(transcript jsonb, speakers text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	bad record;
	value jsonb;
	shown text;
BEGIN
	SELECT e.* INTO bad FROM (
		SELECT one.place, one.entry, one.wrong, n.index,
			pg_catalog.lag(one.place) OVER same AS other,
			one.index IS NULL OR pg_catalog.lag(one.index IS NULL) OVER same AS placed
		FROM grading_entries(transcript, speakers) AS one
		CROSS JOIN LATERAL (SELECT CASE WHEN one.line IS NOT NULL
			THEN coalesce(one.index, one.place) END AS index) AS n
		WINDOW same AS (PARTITION BY n.index ORDER BY one.place)
	) AS e
	WHERE e.wrong IS NOT NULL OR e.other IS NOT NULL AND e.index IS NOT NULL
	ORDER BY e.wrong IS NULL, CASE WHEN e.wrong IS NULL THEN e.index END, e.place LIMIT 1;
	IF NOT FOUND THEN
		RETURN;
	END IF;

	value := CASE bad.wrong WHEN ''::text THEN bad.entry ELSE bad.entry -> bad.wrong END;
	shown := CASE jsonb_typeof(value) WHEN 'object'::text THEN 'an object'::text
		WHEN 'array'::text THEN 'an array'::text ELSE "left"(value::text, 80) END;
	IF bad.wrong IS NULL THEN
		RAISE EXCEPTION 'transcript[%] and transcript[%] both have index %; each rated line'
			' needs an index of its own', bad.other, bad.place, bad.index
			USING ERRCODE = 'invalid_parameter_value', HINT = CASE WHEN bad.placed
				THEN 'An entry without an index gets its place in the transcript,'
					' from 0: give all entries an index, or none.'::text
				ELSE 'The index is the line''s number in its session.'::text END;
	ELSIF bad.wrong = ''::text THEN
		RAISE EXCEPTION 'transcript[%] is %; it must be an object with speaker, text and'
			' index', bad.place, shown USING ERRCODE = 'invalid_parameter_value';
	ELSIF bad.wrong = ANY(ARRAY['index'::text, 'line_number'::text]) THEN
		RAISE EXCEPTION 'the index of transcript[%] is %; it must be a whole number from 0'
			' to 2147483647', bad.place, "left"(value::text, 80)
			USING ERRCODE = 'invalid_parameter_value';
	ELSIF jsonb_typeof(value) <> 'string'::text THEN
		RAISE EXCEPTION 'transcript[%].% is %; it must be a string', bad.place, bad.wrong,
			shown USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RAISE EXCEPTION 'transcript[%].% is % bytes long; at most 32768 are allowed', bad.place,
		bad.wrong, octet_length(pg_catalog.convert_to(value #>> '{}'::text[], 'UTF8'::name))
		USING ERRCODE = 'invalid_parameter_value';
END $$;
DROP FUNCTION IF EXISTS grading_check_indexes(jsonb, text[]);

-- What a job gets, unless no worker reads so much: as text it is too long, holds more values than
-- json_strict_parse() has room for (src/lib/json_strict.c), or is nested too deep. What is in the
-- transcript beside the keys that are ours comes along, so it may be anything.
CREATE OR REPLACE FUNCTION grading_check_job(job_data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_variable
DECLARE
	data text := job_data::text;
	bytes constant integer := octet_length(data);
	depth integer := 0;
BEGIN
	IF bytes > 4194304 THEN
		RAISE EXCEPTION 'a job of the transcript is % bytes long; at most 4194304 are'
			' allowed', bytes USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Make smaller batches.';
	END IF;
	-- Few open, so that none is deep.
	IF bytes <= 65536 AND bytes - octet_length(pg_catalog.translate(data, '[{'::text, ''::text))
		< 64 THEN
		RETURN job_data;
	END IF;
	-- Strings are values without a bracket, a comma or a colon in them.
	data := pg_catalog.regexp_replace(data, '"(?:[^"\\]|\\.)*"'::text, 'v'::text, 'g'::text);
	IF bytes > 65536 AND greatest(33554432::bigint, 20::bigint * bytes)
		< 768::bigint * (length(data)
			- length(pg_catalog.translate(data, '[{'::text, ''::text)))
		+ 64::bigint * (length(data)
			- length(pg_catalog.translate(data, ',:'::text, ''::text))) THEN
		RAISE EXCEPTION 'a job of the transcript holds too many values'
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Make smaller batches, or leave out what is not to be rated.';
	END IF;
	-- What holds nothing is a value, too; what holds values alone becomes one, layer by layer.
	data := pg_catalog.regexp_replace(data, '[^][{}]+|\[\]|\{\}'::text, 'v'::text, 'g'::text);
	LOOP
		data := pg_catalog.regexp_replace(data, 'v+'::text, 'v'::text, 'g'::text);
		EXIT WHEN data = 'v'::text;
		depth := depth + 1;
		IF depth > 63 THEN
			RAISE EXCEPTION 'a job of the transcript is nested too deep'
				USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Leave out what is not to be rated.';
		END IF;
		data := pg_catalog.regexp_replace(data, '\[v\]|\{v\}'::text, 'v'::text,
			'g'::text);
	END LOOP;
	RETURN job_data;
END $$;

-- Says what nobody would notice otherwise: that nothing is rated, whose lines are where a customer
-- may be among them, which have no text.
CREATE OR REPLACE FUNCTION grading_say_what_is_rated(
	session_id uuid, transcript jsonb, speakers text[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	seen record;
	names constant text := (
		SELECT pg_catalog.string_agg('"'::text || "left"(s.name, 40) || '"'::text,
			' or '::text ORDER BY s.place)
		FROM pg_catalog.unnest(speakers) WITH ORDINALITY AS s(name, place));
BEGIN
	SELECT pg_catalog.count(e.line) AS lines,
		pg_catalog.count(*) FILTER (WHERE e.rated AND e.line IS NULL
			AND coalesce(e.entry ->> 'text'::text, e.entry ->> 'message'::text) IS NULL)
			AS textless,
		bool_or(e.speaker = 'user'::text AND e.line IS NOT NULL)
			AND bool_or(e.speaker = ANY(ARRAY['agent'::text, 'assistant'::text,
				'bot'::text, 'rep'::text])) AS doubtful
	INTO seen FROM grading_entries(transcript, speakers) AS e;

	IF seen.lines = 0 THEN
		RAISE NOTICE 'session %: nothing is rated: no line of speaker % has a'
			' "text" (speakers found: %)', session_id, names, (
			SELECT pg_catalog.string_agg(found.speaker, ', '::text) FROM (
				SELECT DISTINCT coalesce('"'::text
					|| "left"(e.entry ->> 'speaker'::text, 40) || '"'::text,
					'none'::text) AS speaker
				FROM grading_entries(transcript, speakers) AS e
				ORDER BY speaker LIMIT 5) AS found);
		RETURN;
	END IF;
	IF seen.textless > 0 THEN
		RAISE NOTICE 'session %: not rated, because they have no "text": % of the lines of'
			' speaker %', session_id, seen.textless, names;
	END IF;
	IF seen.doubtful THEN
		RAISE NOTICE 'session %: rated are %; not rated are %; % says whose lines are',
			session_id, (
			SELECT pg_catalog.string_agg(told.words, ', '::text) FROM (
				SELECT pg_catalog.concat(pg_catalog.count(*), ' of speaker "'::text,
					"left"(e.speaker, 40), '"'::text) AS words
				FROM grading_entries(transcript, speakers) AS e
				WHERE e.line IS NOT NULL
				GROUP BY e.speaker ORDER BY e.speaker) AS told), coalesce((
			SELECT pg_catalog.string_agg(told.words, ', '::text) FROM (
				SELECT pg_catalog.concat(pg_catalog.count(*), ' of speaker "'::text,
					"left"(e.speaker, 40), '"'::text) AS words
				FROM grading_entries(transcript, speakers) AS e
				WHERE NOT e.rated AND e.speaker IS NOT NULL
				GROUP BY e.speaker ORDER BY e.speaker LIMIT 5) AS told),
				'those of nobody'::text),
			CASE WHEN speakers OPERATOR(pg_catalog.=) grading_speakers()
				THEN 'rater.speakers'::text
				ELSE 'the option "speakers" of this call'::text END;
	END IF;
END $$;

-- Refuses jobs that queue.max_pending has no room for, and as a mistake what it never has room for,
-- so that nobody tries it again for ever. Two that ask at the same moment may both find room: the
-- limit keeps a queue from growing without end, and counts no single job.
CREATE OR REPLACE FUNCTION grading_check_room(jobs integer) RETURNS void
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	most bigint;
	waiting bigint;
BEGIN
	SELECT least(greatest((s.value #>> '{}'::text[])::numeric, 0::numeric),
		1000000000::numeric)::bigint
	INTO most FROM grading_settings s
	WHERE s.name = 'queue.max_pending'::text AND jsonb_typeof(s.value) = 'number'::text;
	IF NOT FOUND OR most = 0::bigint THEN
		RETURN;
	END IF;
	IF jobs > most THEN
		RAISE EXCEPTION 'the transcript makes % jobs, for which there is never room:'
			' queue.max_pending is %', jobs, most
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Make larger batches, or raise queue.max_pending.';
	END IF;
	SELECT pg_catalog.count(*) INTO waiting FROM (
		SELECT FROM grading_jobs g WHERE g.status::text = 'pending'::text LIMIT most
	) AS pending;
	IF waiting + jobs > most THEN
		RAISE EXCEPTION 'the queue is full: % jobs wait, % more are too many,'
			' queue.max_pending is %', pg_catalog.concat(waiting,
				CASE WHEN waiting = most THEN ' or more'::text END), jobs, most
			USING ERRCODE = 'configuration_limit_exceeded',
			HINT = 'Try again when some have been rated.';
	END IF;
END $$;

-- Sees to it that the session is graded as a whole, once all its lines are rated: the job that
-- waits for that gets the conversation as it is now, or else one is made, unless nothing is new
-- since it was graded. Returns whether one waits. The conversation is what was said by whom, for
-- the customer's part in it; where that is too large the lines that are rated have to do.
CREATE OR REPLACE FUNCTION grading_submit_whole(
	session_id uuid, transcript jsonb, options jsonb, anew boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	waiting uuid;
	data jsonb;
BEGIN
	SELECT g.id INTO waiting FROM grading_jobs g
	WHERE g.session_id = session_id AND g.status::text = 'pending'::text
	  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text) IS TRUE
	  AND grading_is_whole(g.job_type::text, g.job_data)
	ORDER BY g.id LIMIT 1;
	IF NOT anew AND (waiting IS NOT NULL OR EXISTS (
		SELECT FROM session_gradings w WHERE w.session_id = session_id AND NOT EXISTS (
			SELECT FROM line_ratings r
			WHERE r.session_id = session_id AND r.seq > w.upto))) THEN
		RETURN waiting IS NOT NULL;
	END IF;
	SELECT pg_catalog.jsonb_build_object('conversation'::text, coalesce(
			pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
				'index'::text, coalesce(e.index, e.place),
				'speaker'::text, e.entry -> 'speaker'::text,
				'text'::text, coalesce(
					nullif(e.entry -> 'text'::text, 'null'::jsonb),
					e.entry -> 'message'::text)) ORDER BY e.place),
			'[]'::jsonb)) INTO data
	FROM grading_entries(transcript, grading_speakers()) AS e WHERE e.wrong IS NULL;
	IF octet_length(data::text) > 2097152 THEN
		data := '{}'::jsonb;
	END IF;
	-- Its turn comes with those of the last batches.
	data := data || pg_catalog.jsonb_build_object('batchIndex'::text, (
			SELECT s.total_batches FROM grading_sessions s
			WHERE s.session_id = session_id),
		'salesRepName'::text, coalesce(options ->> 'sales_rep_name'::text, ''::text),
		'customerName'::text, coalesce(options ->> 'customer_name'::text, ''::text));
	IF waiting IS NOT NULL THEN
		UPDATE grading_jobs g SET job_data = data, updated_at = now()
		WHERE g.id = waiting AND g.status::text = 'pending'::text;
		IF FOUND THEN
			RETURN true;
		END IF;
	END IF;
	INSERT INTO grading_jobs (session_id, job_type, job_data, priority, tenant, profile)
	VALUES (session_id, 'full_grading'::text, data,
		coalesce((options ->> 'priority'::text)::numeric::integer, 0),
		options ->> 'tenant'::text, options ->> 'profile'::text);
	RETURN true;
END $$;

-- Splits a transcript into jobs of batch_size entries and announces the session, in one statement.
-- What is known of the session makes no job again, so calling it twice is harmless: of a transcript
-- that has grown only the new entries do, and lines that were announced and are nowhere any more.
-- Who comes first is decided by the lock of the session's row.
CREATE OR REPLACE FUNCTION grading_submit(
	session_id uuid, transcript jsonb, options jsonb DEFAULT '{}'
) RETURNS jsonb
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	batch_size integer := 5;
	speakers text[];
	session record;
	made boolean := false;
	anew boolean;
	seen int8multirange;		-- indexes of entries that made jobs before
	known integer[];		-- indexes of lines that are rated or on their way, and
	texts text[];			-- what they say
	told record;
	jobs integer := 0;
	first_batch integer := 0;
	batches integer := 0;
	wants_whole boolean := false;
	whole boolean := false;
	whose text;			-- tenant
BEGIN
	IF session_id IS NULL THEN
		RAISE EXCEPTION 'session_id is null' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF transcript IS NULL OR jsonb_typeof(transcript) <> 'array'::text THEN
		RAISE EXCEPTION 'transcript must be a JSON array of {"speaker", "text"} objects'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	options := coalesce(options, '{}'::jsonb);
	PERFORM grading_check_options(options);
	IF options ? 'batch_size'::text THEN
		batch_size := (options ->> 'batch_size'::text)::numeric::integer;
	END IF;
	IF batch_size IS NULL THEN
		RAISE EXCEPTION 'batch_size is null; it must be from 1 to 1000'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	speakers := grading_speakers();
	IF jsonb_typeof(options -> 'speakers'::text) = 'array'::text THEN
		speakers := ARRAY(
			SELECT lower(btrim(s.name, E' \t\r\n'::text) COLLATE pg_catalog."C")
			FROM jsonb_array_elements_text(options -> 'speakers'::text) AS s(name));
	END IF;
	wants_whole := coalesce((options ->> 'full_grading'::text)::boolean, false);
	IF jsonb_array_length(transcript) = 0 THEN
		RAISE NOTICE 'session %: nothing is rated: the transcript is empty', session_id;
		RETURN pg_catalog.jsonb_build_object('jobs'::text, 0, 'lines'::text, 0,
			'skipped'::text, 0, 'known'::text, 0);
	END IF;

	-- Jobs before their session, as everywhere.
	PERFORM FROM grading_jobs g WHERE g.session_id = session_id
	  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
		AND (g.error IS NOT NULL OR g.counted_as IS DISTINCT FROM 'completed'::text))
		IS TRUE
	ORDER BY g.id FOR UPDATE;
	IF wants_whole THEN
		PERFORM FROM grading_jobs g WHERE g.session_id = session_id
		  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
			IS TRUE
		  AND g.status::text = 'pending'::text
		  AND grading_is_whole(g.job_type::text, g.job_data)
		ORDER BY g.id FOR UPDATE;
	END IF;
	LOOP
		INSERT INTO grading_sessions (session_id) VALUES (session_id)
		ON CONFLICT DO NOTHING;
		made := FOUND;
		SELECT s.total_batches, s.completed_batches, s.total_lines, s.announced, s.lines,
			s.cleaned_at IS NOT NULL AS cleaned
		INTO session FROM grading_sessions s WHERE s.session_id = session_id FOR UPDATE;
		EXIT WHEN FOUND;
	END LOOP;
	first_batch := session.total_batches;
	SELECT coalesce(pg_catalog.array_agg(k.index), '{}'::integer[]),
		coalesce(pg_catalog.array_agg(k.line), '{}'::text[])
	INTO known, texts FROM grading_known_lines(session_id, speakers) AS k;
	IF NOT made OR pg_catalog.cardinality(known) > 0 THEN
		PERFORM grading_recount_many(ARRAY[session_id]);
	END IF;
	-- Of sessions that are older than this column, or of plain rows, less is known.
	seen := coalesce(session.lines, (
		SELECT pg_catalog.int8multirange(pg_catalog.int8range(0::bigint,
			max(k.index)::bigint + 1::bigint))
		FROM pg_catalog.unnest(known) AS k(index)
		HAVING pg_catalog.count(*) > 0), '{}'::int8multirange);

	WITH entry AS MATERIALIZED (
		SELECT e.place, coalesce(e.index, e.place) AS index, e.entry,
			-- A number, in the job, also where it was a string or left out.
			e.index IS NULL OR jsonb_typeof(coalesce(
				nullif(e.entry -> 'index'::text, 'null'::jsonb),
				e.entry -> 'line_number'::text)) = 'string'::text AS renumbered,
			e.rated, e.line, e.wrong, e.speaker
		FROM grading_entries(transcript, speakers) AS e
	), judged AS MATERIALIZED (
		SELECT entry.*, k.index IS NOT NULL
				OR session.cleaned
					AND entry.index::bigint OPERATOR(pg_catalog.<@) seen
				AS known,
			k.line <> entry.line AS changed,
			entry.index::bigint OPERATOR(pg_catalog.<@) seen AS seen
		FROM entry LEFT JOIN (
			SELECT u.index, u.line
			FROM unnest(known, texts) AS u(index, line)
		) AS k ON k.index = entry.index AND entry.line IS NOT NULL
	), wanted AS MATERIALIZED (
		SELECT judged.*,
			(row_number() OVER (ORDER BY judged.place) - 1) / batch_size AS batch
		FROM judged
		WHERE CASE WHEN judged.line IS NULL THEN NOT judged.seen ELSE NOT judged.known END
	), counted AS (
		SELECT pg_catalog.count(*)::integer AS entries,
			pg_catalog.count(wanted.line)::integer AS lines,
			pg_catalog.count(wanted.line) FILTER (WHERE NOT wanted.seen)::integer
				AS new_lines,
			coalesce(max(wanted.batch) + 1, 0)::integer AS jobs,
			pg_catalog.range_agg(pg_catalog.int8range(wanted.index::bigint,
				wanted.index::bigint + 1::bigint)) AS indexes
		FROM wanted
	), batch AS (
		SELECT wanted.batch, pg_catalog.jsonb_agg(CASE WHEN wanted.renumbered
					AND wanted.wrong IS NULL
				THEN wanted.entry || pg_catalog.jsonb_build_object(
					'index'::text, wanted.index)
				ELSE wanted.entry END ORDER BY wanted.place) AS transcript
		FROM wanted GROUP BY wanted.batch
	)
	SELECT counted.*,
		ARRAY(SELECT b.transcript FROM batch b ORDER BY b.batch) AS transcripts,
		sums.skipped, sums.known, sums.changed, sums.refused, sums.remarkable
	INTO told
	FROM counted CROSS JOIN (
		SELECT pg_catalog.count(*) FILTER (WHERE j.rated AND j.line IS NULL)::integer
				AS skipped,
			pg_catalog.count(*) FILTER (WHERE j.line IS NOT NULL AND j.known)::integer
				AS known,
			pg_catalog.array_agg(j.index ORDER BY j.index) FILTER (WHERE j.changed)
				AS changed,
			pg_catalog.count(j.wrong) > 0 OR pg_catalog.count(j.line)
				> pg_catalog.count(DISTINCT CASE WHEN j.line IS NOT NULL
					THEN j.index END) AS refused,
			pg_catalog.count(j.line) < pg_catalog.count(*) FILTER (WHERE j.rated)
				OR pg_catalog.count(j.line) = 0 OR bool_or(j.speaker = 'user'::text)
				AS remarkable
		FROM judged j
	) AS sums;
	-- The transcript is looked through once, and only where there is something to say again.
	IF told.refused THEN
		PERFORM grading_check_entries(transcript, speakers);
	END IF;

	-- What others said since is context for the next line; alone it is nothing to rate.
	IF told.lines > 0 OR pg_catalog.isempty(seen) THEN
		jobs := told.jobs;
	END IF;
	IF jobs > 0 THEN
		PERFORM grading_check_room(jobs);
		-- All its jobs are gone: whatever they were counted as begins anew.
		anew := session.completed_batches = 0 AND pg_catalog.cardinality(known) = 0;
		IF anew AND NOT made THEN
			PERFORM grading_count(ARRAY[session_id], ARRAY[0], ARRAY[0], ARRAY[-(
				SELECT s.failed_batches FROM grading_sessions s
				WHERE s.session_id = session_id)], ARRAY[0], ARRAY[0]);
		END IF;
		UPDATE grading_sessions s SET announced = true,
			total_batches = CASE WHEN anew THEN 0 ELSE s.total_batches END + jobs,
			total_lines = CASE
				WHEN session.announced AND session.lines IS NOT NULL
					THEN s.total_lines + told.new_lines
				ELSE greatest(s.total_lines,
					pg_catalog.cardinality(known) + told.lines) END,
			lines = seen OPERATOR(pg_catalog.+) told.indexes,
			tenant = coalesce(options ->> 'tenant'::text, s.tenant),
			profile = coalesce(options ->> 'profile'::text, s.profile),
			completed_at = NULL, updated_at = greatest(s.updated_at, now())
		WHERE s.session_id = session_id
		RETURNING s.total_batches, s.tenant INTO batches, whose;
		first_batch := greatest(first_batch, batches - jobs);

		INSERT INTO grading_jobs (session_id, job_type, job_data, priority, tenant, profile)
		SELECT session_id, 'line_rating'::text, grading_check_job(
			pg_catalog.jsonb_build_object('transcript'::text, b.transcript,
			'batchIndex'::text, first_batch + b.place::integer - 1,
			'batchSize'::text, batch_size,
			'totalBatches'::text, batches,
			'salesRepName'::text,
			coalesce(options ->> 'sales_rep_name'::text, ''::text),
			'customerName'::text,
			coalesce(options ->> 'customer_name'::text, ''::text))
			|| CASE WHEN jsonb_typeof(options -> 'speakers'::text) = 'array'::text
				THEN pg_catalog.jsonb_build_object('ratedSpeakers'::text,
					pg_catalog.to_jsonb(speakers))
				ELSE '{}'::jsonb END),
			coalesce((options ->> 'priority'::text)::numeric::integer, 0),
			whose, options ->> 'profile'::text
		FROM pg_catalog.unnest(told.transcripts) WITH ORDINALITY AS b(transcript, place)
		ORDER BY b.place;
		IF told.remarkable THEN
			PERFORM grading_say_what_is_rated(session_id, transcript, speakers);
		END IF;
	END IF;
	IF wants_whole AND (jobs > 0 OR told.known > 0) THEN
		whole := grading_submit_whole(session_id, transcript, options, jobs > 0);
	END IF;
	IF told.changed IS NOT NULL THEN
		RAISE NOTICE 'session %: % of its lines have another text now than under which they'
			' are known (index %): they keep that, and what is rated is not rated'
			' again; a new line needs an index of its own', session_id,
			pg_catalog.cardinality(told.changed),
			"left"(pg_catalog.array_to_string(told.changed, ', '::text), 200);
	END IF;
	RETURN pg_catalog.jsonb_build_object('jobs'::text, jobs,
		'lines'::text, CASE WHEN jobs > 0 THEN told.lines ELSE 0 END,
		'skipped'::text, told.skipped, 'known'::text, told.known)
		|| CASE WHEN wants_whole
			THEN pg_catalog.jsonb_build_object('full_grading'::text, whole)
			ELSE '{}'::jsonb END
		|| CASE WHEN told.changed IS NULL THEN '{}'::jsonb
			ELSE pg_catalog.jsonb_build_object('changed'::text,
				pg_catalog.to_jsonb(told.changed)) END;
END $$;

-- The same, with what a transcript's jobs share as arguments; returns the number of jobs made.
CREATE OR REPLACE FUNCTION grading_enqueue(
	session_id uuid,
	transcript jsonb,
	sales_rep_name text DEFAULT NULL,
	customer_name text DEFAULT NULL,
	batch_size integer DEFAULT 5,
	priority integer DEFAULT 0
) RETURNS integer
LANGUAGE sql AS $$
	SELECT (grading_submit(grading_enqueue.session_id, grading_enqueue.transcript,
		pg_catalog.jsonb_build_object('sales_rep_name'::text, sales_rep_name,
			'customer_name'::text, customer_name, 'batch_size'::text, batch_size,
			'priority'::text, priority)) ->> 'jobs'::text)::integer
$$;

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

-- What the rows of a session's batches say that its counters may not know: how many are open; how
-- many more (or fewer) are completed and failed than was counted, because somebody else changed
-- them;
-- how many of their lines have no rating, where the jobs are over. Nulls where the caller may not
-- know. With the rights of its owner, as above.
CREATE OR REPLACE FUNCTION gradingd_jobs_of(session_id uuid)
RETURNS TABLE (open integer, completed integer, failed integer, unrated integer)
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN may.know THEN (
			SELECT pg_catalog.count(*)::integer FROM grading_jobs g
			WHERE g.session_id = gradingd_jobs_of.session_id
			  AND (g.status::text = 'pending'::text
				OR g.status::text = 'processing'::text) IS TRUE
			  AND NOT grading_is_whole(g.job_type::text, g.job_data)) END,
		CASE WHEN may.know THEN over.completed END,
		CASE WHEN may.know THEN over.failed END,
		CASE WHEN may.know THEN over.unrated END
	FROM (
		SELECT pg_catalog.has_table_privilege(
			coalesce(nullif(pg_catalog.current_setting('role'::text), 'none'::text),
				session_user::text)::name,
			'grading_jobs'::regclass::oid, 'SELECT'::text)
			OR grading_may_read(gradingd_jobs_of.session_id) AS know
		OFFSET 0) AS may
	LEFT JOIN LATERAL (
		SELECT coalesce(sum(
				(g.status::text = 'completed'::text)::integer
				- (g.counted_as IS NOT DISTINCT FROM 'completed'::text)::integer),
				0::bigint)::integer AS completed,
			coalesce(sum(
				(g.status::text = 'failed'::text)::integer
				- (g.counted_as IS NOT DISTINCT FROM 'failed'::text)::integer),
				0::bigint)::integer AS failed,
			least(coalesce(sum(grading_unrated(g.session_id, g.job_data, g.result,
				grading_speakers())),
				0::bigint), 1000000000::bigint)::integer AS unrated
		FROM grading_jobs g
		WHERE g.session_id = gradingd_jobs_of.session_id
		  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
			AND (g.error IS NOT NULL
				OR g.counted_as IS DISTINCT FROM 'completed'::text))
			IS TRUE
		  AND NOT grading_is_whole(g.job_type::text, g.job_data)
	) AS over(completed, failed, unrated) ON may.know
$$;

-- How far a session is; no row when it is not known. eta_seconds is an estimate from the pace so
-- far, null before there is one. It looks into the queue in the same snapshot as at the counters:
-- over is what has no open job, and there are at least as many batches as are settled or open.
-- Where none is open it counts from the rows, so that a session ends whatever somebody has done to
-- them: batches that are nowhere any more are no batches, or failed if there is no other. Only
-- where an application itself announces batches (totalBatches), rows may be still to come for
-- `patience` after the last one. Plain rows that nobody has claimed yet make a session, too.
-- No counter is taken for more than a thousand millions, whatever somebody wrote there, so that the
-- sum of two is still an integer.
DROP FUNCTION IF EXISTS grading_progress(uuid);
CREATE OR REPLACE FUNCTION grading_progress(session_id uuid, patience interval DEFAULT '10 s')
RETURNS TABLE (
	status text,
	batches_done integer, batches_failed integer, batches_total integer,
	lines_done integer, lines_total integer,
	percent numeric, eta_seconds numeric,
	started_at timestamptz, first_rated_at timestamptz, completed_at timestamptz,
	lines_failed integer
)
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN NOT p.over THEN
			CASE WHEN p.counted THEN 'processing'::text ELSE p.status END
		WHEN p.completed > 0 OR p.total = 0 THEN 'completed'::text
		ELSE 'failed'::text END,
		CASE WHEN p.lost THEN p.total ELSE p.done END,
		CASE WHEN p.lost THEN p.total ELSE p.failed END,
		p.total, p.rated, p.lines,
		CASE WHEN p.over THEN 100::numeric WHEN p.total = 0 THEN 0::numeric
			ELSE round(100.0 * p.done::numeric / p.total::numeric, 1) END,
		CASE WHEN p.over THEN 0::numeric WHEN p.done > 0 THEN
			round(extract(epoch FROM clock_timestamp() - p.started_at)
				* (p.total - p.done)::numeric / p.done::numeric, 1) END,
		p.started_at, p.first_rated_at,
		CASE WHEN p.over THEN coalesce(p.completed_at, p.updated_at) END,
		least(CASE WHEN p.over THEN p.lines - p.rated ELSE p.unrated END, p.lines - p.rated)
	FROM (
		SELECT r.*, r.over AND r.done = 0 AND r.batches > 0 AS lost,
			CASE WHEN NOT r.over THEN greatest(r.batches, least(
					r.done::bigint + r.open::bigint, 2147483647::bigint
					)::integer)
				WHEN r.done > 0 THEN r.done ELSE r.batches END AS total,
			greatest(r.total_lines, r.rated, r.rated + r.unrated) AS lines
		FROM (
			SELECT q.*, q.completed + q.failed AS done, CASE
				WHEN q.open IS NULL THEN q.counted
				WHEN q.open > 0 THEN false
				ELSE q.counted OR q.announced
					OR q.completed + q.failed >= greatest(q.batches, 1)
					OR q.updated_at < clock_timestamp() - patience
				END AS over
			FROM (
				SELECT s.status, s.status = ANY(ARRAY['completed'::text,
						'failed'::text]) AS counted, s.announced,
					least(greatest(s.total_batches, 0), 1000000000) AS batches,
					least(s.total_lines, 1000000000) AS total_lines,
					least(greatest(s.rated_lines, 0), 1000000000) AS rated,
					s.started_at, s.first_rated_at,
					s.completed_at, s.updated_at, j.open,
					least(greatest(s.completed_batches::bigint
						+ coalesce(j.completed, 0)::bigint, 0::bigint),
						1000000000::bigint)::integer AS completed,
					least(greatest(s.failed_batches::bigint
						+ coalesce(j.failed, 0)::bigint, 0::bigint),
						1000000000::bigint)::integer AS failed,
					coalesce(j.unrated, 0) AS unrated
				FROM grading_sessions s
				LEFT JOIN LATERAL (
					SELECT o.* FROM gradingd_jobs_of(s.session_id) AS o
					OFFSET 0) AS j ON true	-- asked once
				WHERE s.session_id = grading_progress.session_id
				UNION ALL
				SELECT 'queued'::text, false, false, 0, 0, 0, NULL, NULL, NULL,
					now(), j.open, j.completed, j.failed, j.unrated
				FROM (
					SELECT o.* FROM gradingd_jobs_of(
						grading_progress.session_id) AS o
					OFFSET 0) AS j
				WHERE j.open + j.completed + j.failed > 0 AND NOT EXISTS (
					SELECT FROM grading_sessions n
					WHERE n.session_id = grading_progress.session_id)
			) AS q
		) AS r
	) AS p
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

COMMENT ON VIEW grading_line_ratings IS 'line_ratings with the provenance of each rating';

-- For reports: what these three show stays, whatever becomes of the tables. New columns come last.
CREATE OR REPLACE VIEW grading_bi_lines AS
	SELECT r.session_id, r.line_index, s.tenant, s.profile, r.rating, r.line_text,
	       r.alternatives, r.reason, r.cached, r.rated_at,
	       coalesce(p.document, r.provenance) ->> 'rater'::text AS rater,
	       coalesce(p.document, r.provenance) ->> 'model'::text AS model,
	       coalesce(p.document, r.provenance) ->> 'prompt'::text AS prompt
	FROM line_ratings r
	LEFT JOIN grading_provenance p ON p.id = r.provenance_id
	LEFT JOIN grading_sessions s ON s.session_id = r.session_id;

CREATE OR REPLACE VIEW grading_bi_sessions AS
	SELECT s.session_id, s.tenant, s.profile, s.status, s.total_batches, s.completed_batches,
	       s.failed_batches, s.total_lines, s.rated_lines, s.skipped_lines, s.created_at,
	       s.started_at, s.first_rated_at, s.completed_at,
	       extract(epoch FROM s.first_rated_at - s.created_at)::numeric(12, 3)
	               AS seconds_to_first_rating,
	       extract(epoch FROM s.completed_at - s.created_at)::numeric(12, 3)
	               AS seconds_to_completion
	FROM grading_sessions s;

CREATE OR REPLACE VIEW grading_bi_days AS
	SELECT (l.rated_at AT TIME ZONE 'UTC'::text)::date AS day, l.tenant, l.profile, l.rater,
	       l.model, l.rating, pg_catalog.count(*) AS lines,
	       pg_catalog.count(*) FILTER (WHERE l.cached) AS cached_lines,
	       pg_catalog.count(DISTINCT l.session_id) AS sessions
	FROM grading_bi_lines l
	GROUP BY 1, 2, 3, 4, 5, 6;

DO $$ BEGIN
	IF pg_catalog.current_setting('server_version_num'::text)::integer >= 150000 THEN
		ALTER VIEW grading_line_ratings SET (security_invoker = true);
		ALTER VIEW grading_bi_lines SET (security_invoker = true);
		ALTER VIEW grading_bi_sessions SET (security_invoker = true);
		ALTER VIEW grading_bi_days SET (security_invoker = true);
	END IF;
END $$;

COMMENT ON VIEW grading_bi_lines IS 'for reports: one row a rated line, and who rated it';
COMMENT ON VIEW grading_bi_sessions IS 'for reports: one row a session, and how long it took';
COMMENT ON VIEW grading_bi_days IS
	'for reports: lines by UTC day, tenant, profile, rater, model and rating';

-- How a session was graded as a whole: what is in session_gradings, and beside it whether ratings
-- have come since (stale). Null where it was not graded, or the caller may not see it.
CREATE OR REPLACE FUNCTION grading_whole(session_id uuid) RETURNS jsonb
LANGUAGE sql STABLE AS $$
	SELECT w.grading || pg_catalog.jsonb_build_object(
		'graded_at'::text, to_char(w.graded_at AT TIME ZONE 'UTC'::text,
			'YYYY-MM-DD"T"HH24:MI:SS"Z"'::text),
		'cached'::text, w.cached,
		'stale'::text, EXISTS (
			SELECT FROM line_ratings r
			WHERE r.session_id = w.session_id AND r.seq > w.upto),
		'provenance'::text, w.provenance)
	FROM session_gradings w WHERE w.session_id = grading_whole.session_id
$$;

-- What a session as a whole is graded by, as one document: how far it is, and when it is over its
-- ratings, in their order, with the first characters of their reasons. More lines than a worker
-- reads, or more bytes than the cap, are counted and not fetched. In plpgsql, so that a claim takes
-- no lock on the tables of ratings unless it has such a job: who locks them delays no other.
CREATE OR REPLACE FUNCTION grading_whole_source(session_id uuid, cap integer) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
	session constant uuid := session_id;
	p record;
	size record;
	lines jsonb;
BEGIN
	SELECT s.* INTO p FROM grading_progress(session) AS s;
	SELECT sum(octet_length(r.line_text))::bigint AS bytes, max(r.seq) AS upto,
		pg_catalog.count(*) AS n
	INTO size FROM line_ratings r
	WHERE r.session_id = session AND (p.status = 'completed'::text OR p.status = 'failed'::text);
	IF size.n <= 10000 AND size.bytes <= cap THEN
		lines := (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(r.line_index,
				r.line_text, r.rating, "left"(r.reason, 200)) ORDER BY r.line_index)
			FROM line_ratings r WHERE r.session_id = session);
	END IF;
	RETURN pg_catalog.jsonb_build_object('status'::text, p.status,
		'batches'::text, p.batches_total, 'done'::text, p.batches_done,
		'failed'::text, p.batches_failed, 'unrated'::text, p.lines_failed,
		'bytes'::text, size.bytes, 'upto'::text, size.upto, 'lines'::text, lines);
END $$;

-- A settlement came upon a line that another job has stored with another text, and ends with this.
-- It looks by itself, since what the settlement waited for is newer than what that sees.
CREATE OR REPLACE FUNCTION grading_refuse_line(session_id uuid, line_index integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	job uuid;
BEGIN
	SELECT r.job_id INTO job FROM line_ratings r
	WHERE r.session_id = grading_refuse_line.session_id
	  AND r.line_index = grading_refuse_line.line_index;
	RAISE EXCEPTION 'line % of session % was stored by job % with another text, which is not'
		' replaced: two jobs of the session have a line of this index', line_index, session_id,
		coalesce(job::text, 'that is not known'::text)
		USING ERRCODE = 'P0L01';
END $$;

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
			u.skipped, 0 AS stored, NULL::timestamptz AS started_at,
			NULL::int AS stride
		FROM unnest(session_ids, batches, completed, failed, lines, skipped)
			AS u(session_id, batches, completed, failed, lines, skipped)
	), moved AS (
		SELECT c.session_id, c.batches, greatest(c.completed, c.bound) AS completed,
			greatest(c.failed, c.bound) AS failed, greatest(c.lines, c.bound) AS lines,
			c.rated, greatest(c.skipped, c.bound) AS skipped, c.stored, c.started_at,
			c.stride
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
		first_rated_at, completed_at, stride)
	SELECT m.session_id, greatest(m.batches, m.completed + m.failed), m.completed, m.failed,
		m.lines, m.rated, m.skipped, m.stored, m.started_at,
		CASE WHEN m.stored > 0 THEN now() END,
		CASE WHEN m.completed + m.failed >= greatest(m.batches, 1) THEN now() END, m.stride
	FROM moved m
	ORDER BY m.session_id
	ON CONFLICT (session_id) DO UPDATE SET
		total_batches = greatest(s.total_batches, excluded.total_batches,
			least(s.completed_batches::bigint + s.failed_batches
				+ excluded.completed_batches + excluded.failed_batches, 2147483647))::int,
		completed_batches = least(greatest(s.completed_batches::bigint
			+ excluded.completed_batches, -1000000000), 1000000000)::int,
		failed_batches = least(greatest(s.failed_batches::bigint
			+ excluded.failed_batches, -1000000000), 1000000000)::int,
		total_lines = CASE WHEN s.announced THEN s.total_lines
			ELSE least(greatest(s.total_lines::bigint + excluded.total_lines, 0),
				1000000000)::int END,
		rated_lines = least(greatest(s.rated_lines::bigint
			+ excluded.rated_lines, -1000000000), 1000000000)::int,
		skipped_lines = least(greatest(s.skipped_lines::bigint + excluded.skipped_lines, 0),
			1000000000)::int,
		rated_seq = s.rated_seq + excluded.rated_seq,
		started_at = least(s.started_at, excluded.started_at),
		first_rated_at = least(s.first_rated_at, excluded.first_rated_at),
		completed_at = CASE WHEN s.completed_batches::bigint + s.failed_batches
				+ excluded.completed_batches + excluded.failed_batches
				>= greatest(s.total_batches, excluded.total_batches, 1)
			THEN greatest(s.updated_at, now()) END,
		updated_at = greatest(s.updated_at, now()),
		stride = greatest(s.stride, excluded.stride);
END $$;

-- Makes the counters of sessions what the rows say, where somebody else changed these: jobs that
-- were set to completed or failed by hand or by another worker are counted; batches that are
-- announced and nowhere any more are no longer waited for; rated lines are those that are there.
-- (What was settled and has been cleaned away since stays counted.) Settlements that go on
-- meanwhile count on top of it. Jobs are locked in one order, before their sessions. Returns how
-- many sessions were changed.
CREATE OR REPLACE FUNCTION grading_recount_many(session_ids uuid[]) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	moved record;
	lost record;
	changed integer;
	speakers constant text[] := grading_speakers();
BEGIN
	WITH off AS MATERIALIZED (
		SELECT g.id, g.status::text AS status, g.counted_as AS was
		FROM grading_jobs g WHERE g.session_id = ANY(session_ids)
		  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
			AND (g.error IS NOT NULL
				OR g.counted_as IS DISTINCT FROM 'completed'::text))
			IS TRUE
		  AND NOT grading_is_whole(g.job_type::text, g.job_data)
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET counted_as = off.status,
			-- With an error it is found as incomplete, to be asked about its lines.
			error = coalesce(g.error, CASE WHEN off.status = 'completed'::text
				AND grading_unrated(g.session_id, g.job_data, NULL::jsonb,
					speakers) > 0
				THEN 'completed, but not by gradingd: some of its lines have no'
					' rating' END)
		FROM off WHERE g.id = off.id AND off.was IS DISTINCT FROM off.status
		RETURNING g.session_id, off.status, off.was,
			CASE WHEN off.was IS NULL
				AND jsonb_typeof(g.result -> 'lines'::text) = 'number'::text
				THEN least(greatest((g.result ->> 'lines'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS lines,
			CASE WHEN off.was IS NULL
				AND jsonb_typeof(g.result -> 'skipped'::text) = 'number'::text
				THEN least(greatest((g.result ->> 'skipped'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS skipped
	), sums AS (
		SELECT put.session_id,
			sum((put.status = 'completed'::text)::integer
				- (put.was IS NOT DISTINCT FROM 'completed'::text)::integer
				)::integer
				AS completed,
			sum((put.status = 'failed'::text)::integer
				- (put.was IS NOT DISTINCT FROM 'failed'::text)::integer)::integer
				AS failed,
			sum(put.lines)::integer AS lines, sum(put.skipped)::integer AS skipped
		FROM put GROUP BY put.session_id
	)
	SELECT pg_catalog.array_agg(sums.session_id) AS session_ids,
		pg_catalog.array_agg(0) AS none, pg_catalog.array_agg(sums.completed) AS completed,
		pg_catalog.array_agg(sums.failed) AS failed,
		pg_catalog.array_agg(sums.lines) AS lines,
		pg_catalog.array_agg(sums.skipped) AS skipped
	INTO moved FROM sums;
	PERFORM grading_count(moved.session_ids, moved.none, moved.completed, moved.failed,
		moved.lines, moved.skipped);

	PERFORM FROM grading_sessions s WHERE s.session_id = ANY(session_ids)
	ORDER BY s.session_id FOR UPDATE;
	-- Where no job is left that was counted or is open: if the session's row itself was
	-- deleted, at least so many jobs have brought ratings; else all batches are lost.
	SELECT pg_catalog.array_agg(l.session_id) AS session_ids, pg_catalog.array_agg(0) AS none,
		pg_catalog.array_agg(l.brought) AS completed, pg_catalog.array_agg(l.lost) AS failed
	INTO lost
	FROM (
		SELECT s.session_id,
			CASE WHEN s.total_batches = 0 THEN r.jobs ELSE 0 END AS brought,
			CASE WHEN s.announced OR s.updated_at < clock_timestamp() - '10 s'::interval
				THEN s.total_batches ELSE 0 END AS lost
		FROM grading_sessions s
		CROSS JOIN LATERAL (
			SELECT pg_catalog.count(DISTINCT l.job_id)::integer AS jobs
			FROM line_ratings l WHERE l.session_id = s.session_id OFFSET 0) AS r
		WHERE s.session_id = ANY(session_ids)
		  AND NOT s.completed_batches + s.failed_batches > 0 AND NOT EXISTS (
			SELECT FROM grading_jobs g WHERE g.session_id = s.session_id
			  AND (g.status::text = 'pending'::text
				OR g.status::text = 'processing'::text) IS TRUE
			  AND NOT grading_is_whole(g.job_type::text, g.job_data))
		  AND (r.jobs > 0 OR s.total_batches > 0)
	) AS l;
	PERFORM grading_count(lost.session_ids, lost.none, lost.completed, lost.failed, lost.none,
		lost.none);

	WITH known AS MATERIALIZED (
		SELECT s.session_id,
			CASE WHEN s.cleaned_at IS NULL THEN r.lines ELSE s.rated_lines END AS rated,
			CASE WHEN s.announced OR o.open = 0
					AND s.updated_at < clock_timestamp() - '10 s'::interval
				THEN s.completed_batches + s.failed_batches + o.open
				ELSE s.total_batches END AS total,
			s.completed_batches + s.failed_batches AS done
		FROM grading_sessions s
		CROSS JOIN LATERAL (
			SELECT pg_catalog.count(*)::integer AS lines
			FROM line_ratings l WHERE l.session_id = s.session_id OFFSET 0) AS r
		CROSS JOIN LATERAL (
			SELECT pg_catalog.count(*) FILTER (WHERE g.counted_as IS NULL)::integer
				AS open
			FROM grading_jobs g WHERE g.session_id = s.session_id
			  AND (g.status::text = 'pending'::text
				OR g.status::text = 'processing'::text) IS TRUE
			  AND NOT grading_is_whole(g.job_type::text, g.job_data) OFFSET 0) AS o
		WHERE s.session_id = ANY(session_ids)
	)
	UPDATE grading_sessions s SET total_batches = known.total, rated_lines = known.rated,
		completed_at = CASE WHEN known.done >= greatest(known.total, 1)
			THEN coalesce(s.completed_at, greatest(s.updated_at, now())) END,
		updated_at = greatest(s.updated_at, now())
	FROM known WHERE s.session_id = known.session_id
	  AND (s.total_batches <> known.total OR s.rated_lines <> known.rated);
	GET DIAGNOSTICS changed = ROW_COUNT;
	RETURN greatest(changed, coalesce(pg_catalog.cardinality(moved.session_ids), 0),
		coalesce(pg_catalog.cardinality(lost.session_ids), 0));
END $$;

-- One session; true when its counters were others.
CREATE OR REPLACE FUNCTION grading_recount(session_id uuid) RETURNS boolean
LANGUAGE sql AS $$
	SELECT grading_recount_many(ARRAY[grading_recount.session_id]) > 0
$$;

-- The failed jobs of these sessions wait again, or those that were completed without a rating for
-- each line, or both, with all their attempts before them. Lines that have a rating are not asked
-- about again. Returns how many jobs. What a job was counted for (its batch, and its
-- lines where they are not known beforehand) is taken back, so that it is counted anew when it is
-- settled; and the counters are made what the other rows say.
CREATE OR REPLACE FUNCTION grading_put_back(
	session_ids uuid[], failed boolean, incomplete boolean
) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	counted record;
BEGIN
	-- All that either of the two steps may touch, in one order.
	PERFORM FROM grading_jobs g WHERE g.session_id = ANY(session_ids)
	  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
		AND (g.error IS NOT NULL
			OR g.counted_as IS DISTINCT FROM 'completed'::text)) IS TRUE
	ORDER BY g.id FOR UPDATE;
	WITH again AS MATERIALIZED (
		SELECT g.id, g.counted_as,
			CASE WHEN jsonb_typeof(g.result) = 'object'::text THEN g.result END
				AS result
		FROM grading_jobs g
		WHERE g.session_id = ANY(session_ids)
		  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
			AND (g.error IS NOT NULL
				OR g.counted_as IS DISTINCT FROM 'completed'::text))
			IS TRUE
		  AND CASE g.status::text WHEN 'failed'::text THEN grading_put_back.failed
			ELSE grading_put_back.incomplete AND (g.error IS NOT NULL
				OR grading_unrated(g.session_id, g.job_data, NULL::jsonb,
					grading_speakers()) > 0) END
		ORDER BY g.id FOR UPDATE
	), put AS (
		UPDATE grading_jobs g SET status = 'pending'::text, attempts = 0,
			available_at = now(), updated_at = now(), error = NULL, failed_at = NULL,
			completed_at = NULL, claimed_by = NULL, counted_as = NULL,
			-- What earlier attempts took stays; how many lines are counted is said
			-- where they are.
			result = again.result - ARRAY['lines'::text, 'rated'::text,
				'skipped'::text, 'cached'::text, 'unrated'::text]
		FROM again WHERE g.id = again.id
		RETURNING g.session_id, again.counted_as AS was,
			grading_is_whole(g.job_type::text, g.job_data) AS whole,
			CASE WHEN jsonb_typeof(again.result -> 'lines'::text) = 'number'::text
				THEN least(greatest((again.result ->> 'lines'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS lines,
			CASE WHEN jsonb_typeof(again.result -> 'skipped'::text) = 'number'::text
				THEN least(greatest((again.result ->> 'skipped'::text)::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS skipped
	), taken AS (
		SELECT put.session_id,
			pg_catalog.count(*) FILTER (WHERE put.was = 'completed'::text)::integer
				AS completed,
			pg_catalog.count(*) FILTER (WHERE put.was = 'failed'::text)::integer
				AS failed,
			sum(put.lines)::integer AS lines, sum(put.skipped)::integer AS skipped
		FROM put WHERE put.was IS NOT NULL AND NOT put.whole GROUP BY put.session_id
	)
	SELECT (SELECT pg_catalog.count(*)::integer FROM put) AS jobs,
		pg_catalog.array_agg(taken.session_id) AS session_ids,
		pg_catalog.array_agg(0) AS none,
		pg_catalog.array_agg(-taken.completed) AS completed,
		pg_catalog.array_agg(-taken.failed) AS failed,
		pg_catalog.array_agg(-taken.lines) AS lines,
		pg_catalog.array_agg(-taken.skipped) AS skipped
	INTO counted FROM taken;

	PERFORM grading_count(counted.session_ids, counted.none, counted.completed, counted.failed,
		counted.lines, counted.skipped);
	PERFORM grading_recount_many(session_ids);
	IF counted.jobs > 0 THEN
		-- Wakes pools that sleep.
		PERFORM pg_catalog.pg_notify('grading_jobs'::text, ''::text);
	END IF;
	RETURN counted.jobs;
END $$;

-- The failed ones.
CREATE OR REPLACE FUNCTION grading_retry_many(session_ids uuid[]) RETURNS integer
LANGUAGE sql AS $$
	SELECT grading_put_back(grading_retry_many.session_ids, true, false)
$$;

-- Those of one session, and if that is asked for the incomplete ones.
DROP FUNCTION IF EXISTS grading_retry(uuid);
CREATE OR REPLACE FUNCTION grading_retry(session_id uuid, incomplete boolean DEFAULT false)
RETURNS integer
LANGUAGE sql AS $$
	SELECT grading_put_back(ARRAY[grading_retry.session_id], true,
		coalesce(grading_retry.incomplete, false))
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
			grading_is_whole(g.job_type::text, g.job_data) AS whole,
			CASE WHEN jsonb_typeof(open.announced) = 'number'::text
				THEN least(greatest((open.announced #>> '{}'::text[])::numeric,
					0::numeric), 1000000::numeric)::integer
				ELSE 0 END AS batches
	), moved AS (
		SELECT put.session_id, pg_catalog.count(*)::integer AS jobs,
			coalesce(max(put.batches) FILTER (WHERE NOT put.whole), 0) AS batches,
			pg_catalog.count(*) FILTER (WHERE NOT put.whole)::integer AS counted,
			pg_catalog.count(*) FILTER (
				WHERE put.was = 'completed'::text AND NOT put.whole)::integer
				AS uncompleted,
			pg_catalog.count(*) FILTER (WHERE put.was IS DISTINCT FROM 'failed'::text
				AND NOT put.whole)::integer AS failed
		FROM put GROUP BY put.session_id
	)
	SELECT moved.* INTO counted FROM moved;

	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	IF counted.counted > 0 THEN
		PERFORM grading_count(ARRAY[counted.session_id], ARRAY[counted.batches],
			ARRAY[-counted.uncompleted], ARRAY[counted.failed], ARRAY[0], ARRAY[0]);
	END IF;
	RETURN counted.jobs;
END $$;

-- Removes all that is kept of these sessions: jobs, ratings, the sessions themselves, and what the
-- phrase cache has of their texts and no other session had rated since it was made. (Entries with
-- context are removed for their phrase alone: the context may be of these sessions.) What a worker
-- has in hand of them is dropped when it wants to store it. Returns how many rows it was. It looks
-- all jobs and the whole cache through: many sessions at once cost little more than one.
CREATE OR REPLACE FUNCTION grading_forget_many(session_ids uuid[]) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	ids constant uuid[] := ARRAY(SELECT DISTINCT u.id
		FROM pg_catalog.unnest(session_ids) AS u(id) WHERE u.id IS NOT NULL);
	writers text;			-- the transactions that wrote the sessions' rows
	phrases text[] := '{}'::text[];
	jobs integer := 0;
	entries integer := 0;
	sessions integer;
	lines integer;
	n integer;
BEGIN
	IF NOT EXISTS (SELECT FROM grading_sessions s WHERE s.session_id = ANY(ids))
	   AND NOT EXISTS (SELECT FROM line_ratings r WHERE r.session_id = ANY(ids))
	   AND NOT EXISTS (SELECT FROM session_gradings w WHERE w.session_id = ANY(ids))
	   AND NOT EXISTS (
		SELECT FROM grading_jobs g WHERE g.session_id = ANY(ids)
		  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
			IS TRUE)
	   AND NOT EXISTS (
		SELECT FROM grading_jobs g WHERE g.session_id = ANY(ids)
		  AND (g.status::text = 'failed'::text OR g.status::text = 'completed'::text
			AND (g.error IS NOT NULL
				OR g.counted_as IS DISTINCT FROM 'completed'::text))
			IS TRUE)
	THEN
		RETURN 0;
	END IF;

	LOOP
		-- In the order in which everybody takes locks: jobs, cache, sessions, ratings.
		PERFORM FROM grading_jobs g WHERE g.session_id = ANY(ids) ORDER BY g.id FOR UPDATE;
		writers := (
			SELECT pg_catalog.string_agg(s.xmin::text, ' '::text ORDER BY s.session_id)
			FROM grading_sessions s WHERE s.session_id = ANY(ids));
		phrases := pg_catalog.array_cat(phrases, ARRAY(
			SELECT r.line_text FROM line_ratings r WHERE r.session_id = ANY(ids)
			UNION
			SELECT said.line FROM grading_jobs g
			CROSS JOIN LATERAL jsonb_array_elements(CASE
				WHEN jsonb_typeof(g.job_data -> 'transcript'::text) = 'array'::text
				THEN g.job_data -> 'transcript'::text
				ELSE '[]'::jsonb END) AS t(entry)
			CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[t.entry ->> 'text'::text,
				t.entry ->> 'message'::text]) AS said(line)
			WHERE g.session_id = ANY(ids) AND said.line IS NOT NULL));
		DELETE FROM grading_jobs g WHERE g.session_id = ANY(ids);
		GET DIAGNOSTICS n = ROW_COUNT;
		jobs := jobs + n;
		BEGIN
			BEGIN
				entries := grading_forget_phrases(ids, phrases);
			EXCEPTION WHEN insufficient_privilege THEN
				RAISE WARNING 'what the phrase cache has of these sessions stays'
					' until it expires: the owner of grading_jobs may not write'
					' to phrase_cache'
					USING HINT = '`gradingctl cache drop --all` empties it.';
			END;
			PERFORM FROM grading_sessions s WHERE s.session_id = ANY(ids)
			ORDER BY s.session_id FOR UPDATE;
			-- A job that came since then may have been settled: what it brought goes
			-- with the session, so the job has to go, too. Its turn is before the locks
			-- that were taken in here, and this gives them back.
			IF writers IS DISTINCT FROM (
				SELECT pg_catalog.string_agg(s.xmin::text, ' '::text
					ORDER BY s.session_id)
				FROM grading_sessions s WHERE s.session_id = ANY(ids))
			THEN
				RAISE EXCEPTION 'sessions have changed' USING ERRCODE = 'P0F01';
			END IF;
			DELETE FROM line_ratings r WHERE r.session_id = ANY(ids);
			GET DIAGNOSTICS lines = ROW_COUNT;
			DELETE FROM session_gradings w WHERE w.session_id = ANY(ids);
			GET DIAGNOSTICS n = ROW_COUNT;
			lines := lines + n;
			DELETE FROM grading_mirrors m WHERE m.session_id = ANY(ids);
			DELETE FROM grading_sessions s WHERE s.session_id = ANY(ids);
			GET DIAGNOSTICS sessions = ROW_COUNT;
			DELETE FROM grading_webhook_outbox o WHERE o.session_id = ANY(ids);
			EXIT;
		EXCEPTION WHEN SQLSTATE 'P0F01' THEN
		END;
	END LOOP;
	RETURN jobs + entries + lines + sessions;
END $$;

-- The entries of the phrase cache that only these sessions used: a session that used one was rated
-- when the entry was made, or later.
CREATE OR REPLACE FUNCTION grading_forget_phrases(session_ids uuid[], phrases text[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	alone constant text := coalesce(
		pg_catalog.current_setting('gradingd.these_alone'::text, true), ''::text);
	entries integer;
	oldest timestamptz;
	others text[];
BEGIN
	SELECT min(c.created_at) INTO oldest FROM phrase_cache c
	WHERE c.phrase::text = ANY(phrases);
	IF oldest IS NULL THEN
		RETURN 0;
	END IF;
	others := ARRAY(
		SELECT DISTINCT r.line_text FROM grading_sessions s
		JOIN line_ratings r ON r.session_id = s.session_id
		WHERE s.updated_at >= oldest AND s.session_id <> ALL(session_ids)
		  AND r.rated_at >= oldest AND r.line_text = ANY(phrases));
	PERFORM pg_catalog.set_config('gradingd.these_alone'::text, 'on'::text, true);
	DELETE FROM phrase_cache c WHERE c.cache_key::text = ANY(ARRAY(
		SELECT k.cache_key::text FROM phrase_cache k
		WHERE k.phrase::text = ANY(phrases)
		  AND (k.phrase::text <> ALL(others) OR coalesce(k.context::text, ''::text) <> ''::text)
		ORDER BY k.cache_key FOR UPDATE));
	GET DIAGNOSTICS entries = ROW_COUNT;
	PERFORM pg_catalog.set_config('gradingd.these_alone'::text, alone, true);
	RETURN entries;
END $$;

-- The form of a phrase in which all that are the same question to the phrase cache are equal, and
-- few others: letters are small, blanks one space (src/base/normalise.c, whose table of letters is
-- the one that counts). Not by the database's locale, which may know ASCII alone: by ICU's where
-- the server has that. To capitals and back, as small letters may have more than one form.
CREATE OR REPLACE FUNCTION grading_phrase(phrase text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	words text;
BEGIN
	IF phrase !~ '[^ -~]|  |^ | $'::text THEN	-- most phrases
		RETURN lower(phrase COLLATE pg_catalog."C");
	END IF;
	words := btrim(pg_catalog.regexp_replace(phrase,
		'[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a'::text
			|| '\u2028\u2029\u202f\u205f\u3000]+'::text, ' '::text, 'g'::text), ' '::text);
	IF pg_catalog.getdatabaseencoding() = 'UTF8'::name
		AND pg_catalog.to_regcollation('pg_catalog."und-x-icu"'::text) IS NOT NULL THEN
		RETURN lower(upper(lower(replace(words, chr(304), 'i'::text)
			COLLATE pg_catalog."und-x-icu")));
	END IF;
	RETURN lower(upper(lower(words)));
END $$;

-- The key under which the code of the application that phrase_cache comes from stores and deletes a
-- phrase (without a context): the base64 of its small letters, of which letters and digits stay.
-- Null where it is too long for the primary key.
CREATE OR REPLACE FUNCTION grading_application_key(phrase text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
	words text := phrase;
BEGIN
	IF words !~ '[^ -~]|  |^ | $'::text THEN	-- most phrases
		words := lower(words COLLATE pg_catalog."C");
	ELSE
		words := btrim(pg_catalog.regexp_replace(words,
			'[\u0009-\u000d\u0020\u00a0\u1680\u2000-\u200a'::text
				|| '\u2028\u2029\u202f\u205f\u3000\ufeff]+'::text,
			' '::text, 'g'::text), ' '::text);
		IF pg_catalog.getdatabaseencoding() = 'UTF8'::name
			AND pg_catalog.to_regcollation('pg_catalog."und-x-icu"'::text) IS NOT NULL THEN
			words := lower(words COLLATE pg_catalog."und-x-icu");
		ELSE
			words := lower(words);
		END IF;
	END IF;
	words := replace(replace(replace(rtrim(pg_catalog.encode(
		pg_catalog.convert_to(words, 'UTF8'::name), 'base64'::text), '='::text),
		E'\n'::text, ''::text), '+'::text, ''::text), '/'::text, ''::text);
	RETURN CASE WHEN octet_length(words) BETWEEN 1 AND 2500 THEN words END;
END $$;

-- Removes the entries of these phrases, whoever made them and under whatever key: for other
-- customers, models, prompts and contexts. Locked in the order of settlements. What has another
-- number of letters is not looked at closely. Returns how many went, copies under keys of the
-- application not counted. The setting tells grading_phrases_gone() that nothing
-- more is to go.
CREATE OR REPLACE FUNCTION grading_drop_phrases(phrases text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	alone constant text := coalesce(
		pg_catalog.current_setting('gradingd.these_alone'::text, true), ''::text);
	blank constant text := ' '::text;
	others constant text := '[\u0009-\u000d\u0085\u00a0\u1680\u2000-\u200a'::text
		|| '\u2028\u2029\u202f\u205f\u3000]'::text;
	forms constant text[] := ARRAY(
		SELECT DISTINCT grading_phrase(u.phrase) FROM pg_catalog.unnest(phrases) AS u(phrase));
	lengths constant integer[] := ARRAY(
		SELECT DISTINCT length(replace(pg_catalog.regexp_replace(u.phrase, others, ''::text,
			'g'::text), blank, ''::text))
		FROM pg_catalog.unnest(phrases) AS u(phrase));
	n bigint;
BEGIN
	PERFORM pg_catalog.set_config('gradingd.these_alone'::text, 'on'::text, true);
	WITH dropped AS (DELETE FROM phrase_cache c WHERE c.cache_key::text = ANY(ARRAY(
		SELECT k.cache_key::text FROM phrase_cache k
		WHERE length(replace(CASE WHEN k.phrase::text ~ '[^ -~]'::text
				THEN pg_catalog.regexp_replace(k.phrase::text, others, ''::text,
					'g'::text)
				ELSE k.phrase::text END, blank, ''::text)) = ANY(lengths)
		  AND grading_phrase(k.phrase::text) = ANY(forms)
		ORDER BY k.cache_key FOR UPDATE))
		RETURNING (c.provenance ? 'copy'::text) IS NOT TRUE AS is_entry)
	SELECT pg_catalog.count(*) FILTER (WHERE dropped.is_entry) INTO n FROM dropped;
	PERFORM pg_catalog.set_config('gradingd.these_alone'::text, alone, true);
	RETURN n;
END $$;

-- One phrase.
CREATE OR REPLACE FUNCTION grading_drop_phrase(phrase text) RETURNS bigint
LANGUAGE sql AS $$
	SELECT grading_drop_phrases(ARRAY[grading_drop_phrase.phrase])
$$;

-- A phrase that somebody deletes from phrase_cache before its time goes under all its keys: who
-- deletes one means the phrase, and knows nothing of the others. What is too old to be used is
-- cleaned up, by us or by the application, and means nothing.
CREATE OR REPLACE FUNCTION grading_phrases_gone() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
	ttl interval;
	phrases text[];
BEGIN
	IF pg_catalog.current_setting('gradingd.these_alone'::text, true) = 'on'::text
		OR NOT EXISTS (SELECT FROM phrase_cache) THEN
		RETURN NULL;
	END IF;
	ttl := coalesce((SELECT (s.value #>> '{}'::text[])::float8 * interval '1 ms'
		FROM grading_settings s
		WHERE s.name = 'cache.ttl'::text AND jsonb_typeof(s.value) = 'number'::text),
		interval '24 hours');
	phrases := ARRAY(SELECT DISTINCT gone.phrase::text FROM gone
		WHERE gone.created_at::timestamptz > now() - ttl);
	IF pg_catalog.cardinality(phrases) > 0 THEN
		PERFORM grading_drop_phrases(phrases);
	END IF;
	RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN	-- what was asked for was done
	RAISE WARNING 'the same phrases stay in phrase_cache under other keys: %', SQLERRM;
	RETURN NULL;
END $$;

-- Keeps a copy of each new entry under the application's own key, so that its code finds it there,
-- and its deletion by that key finds something to delete. The latest of a phrase's entries counts,
-- and the copy is as old as that. A copy that is refused, or that somebody has locked, costs no
-- settlement.
CREATE OR REPLACE FUNCTION grading_phrases_known() RETURNS trigger
LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
	-- An application's column may hold less than any text.
	longest constant integer := (SELECT CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4
			ELSE 2500 END
		FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = TG_RELID AND a.attname = 'cache_key'::name);
BEGIN
	-- Not of the copies: it ends here.
	IF NOT EXISTS (SELECT FROM known n WHERE n.cache_key::text ~ '^[0-9a-f]{64}$'::text) THEN
		RETURN NULL;
	END IF;
	INSERT INTO phrase_cache AS c (cache_key, phrase, rating, alternatives, reason, provenance,
		created_at)
	SELECT DISTINCT ON (k.cache_key) k.cache_key, n.phrase, n.rating, n.alternatives, n.reason,
		CASE WHEN jsonb_typeof(n.provenance) = 'object'::text THEN n.provenance
			ELSE '{}'::jsonb END || '{"copy": true}'::jsonb, n.created_at
	FROM known n CROSS JOIN LATERAL (
		SELECT grading_application_key(n.phrase::text) AS cache_key OFFSET 0) AS k
	WHERE n.cache_key::text ~ '^[0-9a-f]{64}$'::text
	  AND length(k.cache_key) <= longest
	ORDER BY k.cache_key, n.created_at DESC
	ON CONFLICT (cache_key) DO UPDATE SET phrase = excluded.phrase, rating = excluded.rating,
		alternatives = excluded.alternatives, reason = excluded.reason,
		provenance = excluded.provenance, created_at = excluded.created_at
	WHERE c.created_at <= excluded.created_at;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'phrases are not known to the application by its own keys: %', SQLERRM;
	RETURN NULL;
END $$;

-- Makes the triggers: what is deleted goes under all keys, in every database; copies are kept where
-- the application is there (its table live_sessions, or phrases that it has stored itself). Says
-- whether they are. To be called again when the application came later; migrate calls it, too.
CREATE OR REPLACE FUNCTION grading_follow_phrase_cache() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	cache constant regclass := 'phrase_cache'::regclass;
	copies constant boolean := pg_catalog.to_regclass('live_sessions'::text) IS NOT NULL
		OR EXISTS (SELECT FROM phrase_cache c
			WHERE c.cache_key::text OPERATOR(pg_catalog.!~) '^[0-9a-f]{64}$'::text);
	made record;
BEGIN
	FOR made IN
		SELECT * FROM (VALUES
			('grading_phrases_gone'::name, 'DELETE'::text, 'OLD TABLE AS gone'::text,
			 'grading_phrases_gone'::text, true),
			('grading_phrases_new'::name, 'INSERT'::text, 'NEW TABLE AS known'::text,
			 'grading_phrases_known'::text, copies),
			('grading_phrases_renewed'::name, 'UPDATE'::text,
			 'NEW TABLE AS known'::text, 'grading_phrases_known'::text, copies))
			AS m(name, event, transition, function, wanted)
		WHERE m.wanted AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
			WHERE t.tgrelid OPERATOR(pg_catalog.=) cache::oid
			  AND t.tgname OPERATOR(pg_catalog.=) m.name)
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER %s ON %s REFERENCING %s'
			' FOR EACH STATEMENT EXECUTE FUNCTION %s()'::text,
			made.name, made.event, cache, made.transition,
			made.function::regproc);
	END LOOP;
	RETURN EXISTS (SELECT FROM pg_catalog.pg_trigger t
		WHERE t.tgrelid OPERATOR(pg_catalog.=) cache::oid
		  AND t.tgname OPERATOR(pg_catalog.=) 'grading_phrases_new'::name);
EXCEPTION
	WHEN insufficient_privilege OR lock_not_available OR wrong_object_type
		OR feature_not_supported THEN
		RAISE WARNING 'phrases that are deleted from phrase_cache stay under other keys: %',
			SQLERRM
			USING HINT = 'As the owner of both: SELECT grading_follow_phrase_cache();';
		RETURN false;
END $$;

-- One session.
CREATE OR REPLACE FUNCTION grading_forget(session_id uuid) RETURNS integer
LANGUAGE sql AS $$
	SELECT grading_forget_many(ARRAY[grading_forget.session_id])
$$;

-- Removes sessions for their age, and of others the ratings alone; for the janitor. With a session
-- go those of its jobs that are not on their way out anyway. What the database refuses (a row of
-- the application refers to it, a trigger) stops no other: the sessions are then removed one by
-- one. Tells how many rows it was, and which sessions stay and why, the last one's reason.
CREATE OR REPLACE FUNCTION grading_clean_sessions(
	session_ids uuid[], rated_ids uuid[], OUT n bigint, OUT refused uuid[], OUT why text
) RETURNS record
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	one uuid;
BEGIN
	-- Nobody is waited for: the janitor has more to do.
	PERFORM pg_catalog.set_config('lock_timeout'::text, '200ms'::text, true);
	BEGIN
		n := grading_clean_rows(session_ids, rated_ids);
		RETURN;
	EXCEPTION WHEN OTHERS THEN
		n := 0;
	END;
	FOR one IN SELECT u.id FROM pg_catalog.unnest(session_ids) AS u(id) LOOP
		BEGIN
			n := n + grading_clean_rows(ARRAY[one], '{}'::uuid[]);
		EXCEPTION WHEN OTHERS THEN
			refused := pg_catalog.array_append(refused, one);
			why := SQLERRM;
		END;
	END LOOP;
	FOR one IN SELECT u.id FROM pg_catalog.unnest(rated_ids) AS u(id) LOOP
		BEGIN
			n := n + grading_clean_rows('{}'::uuid[], ARRAY[one]);
		EXCEPTION WHEN OTHERS THEN
			refused := pg_catalog.array_append(refused, one);
			why := SQLERRM;
		END;
	END LOOP;
END $$;

CREATE OR REPLACE FUNCTION grading_clean_rows(session_ids uuid[], rated_ids uuid[]) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	rows bigint;
	sum bigint := 0;
BEGIN
	DELETE FROM grading_jobs g WHERE g.id = ANY(ARRAY(
		SELECT j.id FROM grading_jobs j WHERE j.session_id = ANY(session_ids)
		  AND (j.status::text = 'failed'::text OR j.status::text = 'completed'::text
			AND (j.error IS NOT NULL
				OR j.counted_as IS DISTINCT FROM 'completed'::text)) IS TRUE
		ORDER BY j.id FOR UPDATE));
	GET DIAGNOSTICS rows = ROW_COUNT;
	sum := sum + rows;
	PERFORM FROM grading_sessions s
	WHERE s.session_id = ANY(session_ids) OR s.session_id = ANY(rated_ids)
	ORDER BY s.session_id FOR UPDATE;
	DELETE FROM line_ratings r
	WHERE r.session_id = ANY(session_ids) OR r.session_id = ANY(rated_ids);
	GET DIAGNOSTICS rows = ROW_COUNT;
	sum := sum + rows;
	DELETE FROM session_gradings w
	WHERE w.session_id = ANY(session_ids) OR w.session_id = ANY(rated_ids);
	GET DIAGNOSTICS rows = ROW_COUNT;
	sum := sum + rows;
	UPDATE grading_sessions s SET cleaned_at = now() WHERE s.session_id = ANY(rated_ids);
	DELETE FROM grading_mirrors m WHERE m.session_id = ANY(session_ids);
	DELETE FROM grading_sessions s WHERE s.session_id = ANY(session_ids);
	GET DIAGNOSTICS rows = ROW_COUNT;
	RETURN sum + rows;
END $$;

-- Which entry of the application's own transcript each line of a session is, by the number under
-- which its pages know it: the entry's own, else its place. Jobs may hold the lines of one speaker
-- alone, counted without the others, so a line's index is believed only where it leads to its text:
-- for all lines, or for most where there are gaps between them. What is left is found by its text:
-- the first of several equal lines, of all that the session's jobs have, is the first such entry.
-- Entries of speakers who are not rated count only where no line is found among the others. One
-- that is in no entry has no number. Without any entry to go by a line's index is its number.
CREATE OR REPLACE FUNCTION grading_mirror_lines(session_id uuid, transcript jsonb)
RETURNS TABLE (index integer, number integer)
LANGUAGE sql STABLE AS $$
	WITH entry AS MATERIALIZED (
		SELECT e.place, CASE WHEN e.index >= 0 THEN e.index ELSE e.place END AS number,
			btrim(e.line, E' \t\r\n'::text) AS line,
			e.speaker = ANY((SELECT grading_speakers())::text[]) AS rated	-- once
		FROM grading_entries(transcript, ARRAY(
			SELECT DISTINCT lower(btrim(t.entry ->> 'speaker'::text, E' \t\r\n'::text)
				COLLATE pg_catalog."C")
			FROM jsonb_array_elements(CASE WHEN jsonb_typeof(transcript) = 'array'::text
				THEN transcript ELSE '[]'::jsonb END) AS t(entry)
			WHERE jsonb_typeof(t.entry -> 'speaker'::text) = 'string'::text)) AS e
		WHERE e.line IS NOT NULL
	), known AS MATERIALIZED (
		SELECT k.index, btrim(k.line, E' \t\r\n'::text) AS line
		FROM grading_known_lines(grading_mirror_lines.session_id, grading_speakers()) AS k
	), said AS MATERIALIZED (
		SELECT e.place, e.number, e.line FROM entry e
		WHERE e.rated OR NOT EXISTS (
			SELECT FROM entry r JOIN known k ON k.line = r.line WHERE r.rated)
	), there AS MATERIALIZED (
		SELECT DISTINCT ON (k.index) k.index, e.place, e.number
		FROM known k JOIN said e ON e.number = k.index AND e.line = k.line
		ORDER BY k.index, e.place
	), sums AS MATERIALIZED (
		SELECT pg_catalog.count(*) AS lines,
			max(k.index)::bigint - min(k.index)::bigint + 1::bigint AS span,
			(SELECT pg_catalog.count(*) FROM there) AS there
		FROM known k
	), own AS MATERIALIZED (
		SELECT there.* FROM there CROSS JOIN sums
		WHERE sums.there = sums.lines
		   OR sums.span > sums.lines AND sums.there * 2::bigint > sums.lines
	), line AS (
		SELECT k.index, k.line,
			pg_catalog.row_number() OVER (PARTITION BY k.line ORDER BY k.index) AS nth
		FROM known k WHERE k.index NOT IN (SELECT own.index FROM own)
	), free AS (
		SELECT e.number, e.line,
			pg_catalog.row_number() OVER (PARTITION BY e.line ORDER BY e.place) AS nth
		FROM said e WHERE e.place NOT IN (SELECT own.place FROM own)
	)
	SELECT own.index, own.number FROM own
	UNION ALL
	SELECT line.index, CASE WHEN EXISTS (SELECT FROM entry) THEN free.number ELSE line.index END
	FROM line LEFT JOIN free ON free.line = line.line AND free.nth = line.nth
$$;

-- What the mirror shows of a session, under the keys that the application's pages read, and whether
-- it is over. No row where nobody knows the session. It is completed when all its batches are.
CREATE OR REPLACE FUNCTION grading_mirror_document(session_id uuid, transcript jsonb)
RETURNS TABLE (document jsonb, over boolean)
LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.jsonb_build_object(
			'line_ratings_status'::text, CASE WHEN p.status = 'completed'::text
				AND p.batches_failed > 0 THEN 'failed'::text ELSE p.status END,
			'line_ratings_total_batches'::text, p.batches_total,
			'line_ratings_completed_batches'::text,
				greatest(p.batches_done - p.batches_failed, 0),
			'line_ratings'::text, coalesce(l.lines, '[]'::jsonb))
			|| coalesce((
				SELECT pg_catalog.jsonb_build_object('full_grading'::text, w.grading)
				FROM session_gradings w
				WHERE w.session_id = grading_mirror_document.session_id),
				'{}'::jsonb),
		p.status = ANY(ARRAY['completed'::text, 'failed'::text])
	FROM grading_progress(grading_mirror_document.session_id) AS p
	CROSS JOIN (
		SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
			'line_index'::text, m.number, 'line_text'::text, r.line_text,
			'rating'::text, r.rating, 'alternatives'::text, r.alternatives,
			'cached'::text, r.cached) ORDER BY m.number, r.line_index) AS lines
		FROM (
			SELECT f.* FROM line_ratings f
			WHERE f.session_id = grading_mirror_document.session_id
			ORDER BY f.line_index LIMIT 20000
		) AS r
		LEFT JOIN grading_mirror_lines(grading_mirror_document.session_id, transcript) AS m
			ON m.index = r.line_index
	) AS l
	WHERE NOT EXISTS (
		SELECT FROM grading_sessions s
		WHERE s.session_id = grading_mirror_document.session_id
		  AND s.cleaned_at IS NOT NULL)
$$;

-- The words for a session's status that a CHECK of live_sessions.grading_status may allow, the
-- likeliest first; and of these, those that the constraints of the column name, or the labels of
-- its type. The status as it is comes before all.
CREATE OR REPLACE FUNCTION grading_mirror_words(live regclass, status text) RETURNS text[]
LANGUAGE sql STABLE AS $$
	WITH allowed AS MATERIALIZED (
		SELECT pg_catalog.replace(found.word[1], ''''''::text, ''''::text) AS word
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_constraint c ON c.conrelid = a.attrelid
			AND c.contype = 'c'::"char" AND a.attnum = ANY(c.conkey)
		CROSS JOIN LATERAL pg_catalog.regexp_matches(pg_catalog.pg_get_constraintdef(c.oid),
			'''((?:[^'']|'''')*)'''::text, 'g'::text) AS found(word)
		WHERE a.attrelid = live::oid AND a.attname = 'grading_status'::name
		UNION
		SELECT e.enumlabel::text FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_enum e ON e.enumtypid = a.atttypid
		WHERE a.attrelid = live::oid AND a.attname = 'grading_status'::name
	)
	SELECT ARRAY(
		SELECT allowed.word
		FROM pg_catalog.unnest(CASE status
			WHEN 'queued'::text THEN ARRAY['queued'::text, 'pending'::text,
				'waiting'::text, 'new'::text, 'created'::text, 'scheduled'::text,
				'not_started'::text, 'processing'::text, 'in_progress'::text]
			WHEN 'processing'::text THEN ARRAY['processing'::text, 'in_progress'::text,
				'grading'::text, 'running'::text, 'started'::text, 'active'::text,
				'partial'::text, 'pending'::text, 'queued'::text]
			WHEN 'completed'::text THEN ARRAY['completed'::text, 'complete'::text,
				'done'::text, 'finished'::text, 'graded'::text, 'success'::text,
				'succeeded'::text, 'ready'::text, 'ok'::text]
			ELSE ARRAY['failed'::text, 'error'::text, 'errored'::text, 'failure'::text,
				'aborted'::text, 'cancelled'::text, 'canceled'::text] END)
			WITH ORDINALITY AS w(word, place)
		JOIN allowed ON pg_catalog.replace(pg_catalog.replace(lower(allowed.word), '-'::text,
			'_'::text), ' '::text, '_'::text) = w.word
		ORDER BY w.place, allowed.word)
$$;

-- Writes what the mirror shows of a session into its row of live_sessions, beside the keys of
-- others, unless it is there already. For the daemon, with its rights. Waits for no lock on the
-- row. A status that the application's own trigger derives, and its CHECK forbids, is written in
-- the same update in a form that the CHECK allows: `form` is the one that did last time ('': none
-- was needed; '+WORD': after another one, for a trigger that heeds only a change), and comes back.
-- Whatever else the application's triggers and checks refuse is an error. xmin of the rows tells
-- later whether anything has changed (grading_mirror_changes()).
CREATE OR REPLACE FUNCTION grading_mirror(session_id uuid, form text DEFAULT NULL)
RETURNS TABLE (outcome text, over boolean, live_xmin bigint, counted_xmin bigint, used text,
	status text)
LANGUAGE plpgsql
SET enable_nestloop = on	-- the daemon's sessions have it off
AS $$
#variable_conflict use_column
DECLARE
	live constant regclass := pg_catalog.to_regclass('live_sessions'::text);
	asked constant uuid := session_id;
	known constant text := form;
	has_transcript boolean;
	has_status boolean;
	was record;
	seen_xmin bigint;
	seen text;
	doc jsonb;
	forms text[];
	words text[];
	allowed text;
	refused text;
	kept boolean;
BEGIN
	outcome := 'gone'::text;
	IF live IS NULL THEN
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT bool_or(a.attname = 'full_transcript'::name AND a.atttypid = 'jsonb'::regtype),
		bool_or(a.attname = 'grading_status'::name)
	INTO has_transcript, has_status
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = live::oid AND NOT a.attisdropped;
	FOR try IN 1 .. 3 LOOP
		EXECUTE pg_catalog.format('SELECT l.xmin::text::bigint AS xmin, l.analytics, %s AS'
			' transcript, %s AS status FROM %s l WHERE l.id = $1'::text,
			CASE WHEN has_transcript THEN 'l.full_transcript'::text
				ELSE 'NULL::jsonb'::text END,
			CASE WHEN has_status THEN 'l.grading_status::text'::text
				ELSE 'NULL::text'::text END, live)
		INTO was USING asked;
		IF was.xmin IS NULL THEN
			RETURN NEXT;
			RETURN;
		END IF;
		counted_xmin := (SELECT s.xmin::text::bigint FROM grading_sessions s
			WHERE s.session_id = asked);
		SELECT d.document, d.over INTO doc, over
		FROM grading_mirror_document(asked, was.transcript) AS d;
		live_xmin := was.xmin;
		IF doc IS NULL THEN
			outcome := 'unknown'::text;
			RETURN NEXT;
			RETURN;
		END IF;
		status := doc ->> 'line_ratings_status'::text;
		IF jsonb_typeof(was.analytics) = 'object'::text
		   AND was.analytics || doc = was.analytics THEN
			outcome := 'same'::text;
			RETURN NEXT;
			RETURN;
		END IF;
		-- In what is no object others may keep what they like: it is not ours to replace,
		-- unless there is nothing in it.
		IF jsonb_typeof(was.analytics) <> 'object'::text
		   AND was.analytics NOT IN ('null'::jsonb, '[]'::jsonb, '""'::jsonb) THEN
			RAISE EXCEPTION 'analytics of this session is a JSON %, not an object',
				jsonb_typeof(was.analytics)
				USING ERRCODE = 'raise_exception';
		END IF;
		EXECUTE pg_catalog.format('SELECT l.xmin::text::bigint FROM %s l WHERE l.id = $1'
			' FOR NO KEY UPDATE SKIP LOCKED'::text, live)
		INTO seen_xmin USING asked;
		IF seen_xmin IS NULL THEN
			outcome := 'locked'::text;
			RETURN NEXT;
			RETURN;
		END IF;
		EXIT WHEN seen_xmin = was.xmin;
		outcome := 'locked'::text;	-- it has just changed: what it holds now counts
	END LOOP;
	IF seen_xmin <> was.xmin THEN
		RETURN NEXT;
		RETURN;
	END IF;

	forms := ARRAY[''::text];
	IF has_status THEN
		words := grading_mirror_words(live, status);
		FOREACH allowed IN ARRAY words LOOP
			forms := pg_catalog.array_append(pg_catalog.array_append(forms, allowed),
				'+'::text || allowed);
		END LOOP;
	END IF;
	IF known = ANY(forms) THEN
		forms := pg_catalog.array_prepend(known,
			pg_catalog.array_remove(forms, known));
	END IF;
	FOREACH used IN ARRAY forms LOOP
		BEGIN
			allowed := pg_catalog.ltrim(used, '+'::text);
			IF used LIKE '+%'::text THEN
				EXECUTE pg_catalog.format('UPDATE %s SET grading_status = %L WHERE id ='
					' $1'::text, live, (
						SELECT w.word FROM pg_catalog.unnest(ARRAY['queued'::text,
							'failed'::text, 'completed'::text]) AS s(status),
							pg_catalog.unnest(grading_mirror_words(live,
								s.status)) AS w(word)
						WHERE w.word <> allowed LIMIT 1))
				USING asked;
			END IF;
			EXECUTE pg_catalog.format('UPDATE %s AS l SET analytics = CASE'
				' WHEN pg_catalog.jsonb_typeof(l.analytics) = ''object'' THEN'
				' l.analytics || $2 ELSE $2 END%s WHERE l.id = $1'
				' RETURNING l.analytics || $2 = l.analytics, l.xmin::text::bigint'::text,
				live, CASE WHEN used <> ''::text THEN pg_catalog.format(
					', grading_status = %L'::text, allowed) END)
			INTO kept, live_xmin USING asked, doc;
			IF kept IS NOT TRUE THEN
				RAISE EXCEPTION 'a trigger or a policy of live_sessions does not let'
					' analytics be written'
					USING ERRCODE = 'triggered_action_exception';
			END IF;
			outcome := 'written'::text;
			RETURN NEXT;
			RETURN;
		EXCEPTION
			WHEN check_violation OR invalid_text_representation THEN
				refused := coalesce(refused, SQLERRM);
		END;
	END LOOP;
	RAISE EXCEPTION '%', refused USING ERRCODE = 'check_violation';
END $$;

-- Of these sessions, by their places, those that the mirror must look at again: whose row in
-- live_sessions, or whose counters, another transaction has written than the one that is named. One
-- that is gone from live_sessions has no number. For the daemon.
CREATE OR REPLACE FUNCTION grading_mirror_changes(session_ids uuid[], live bigint[], counted bigint[])
RETURNS TABLE (place integer, live_xmin bigint)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH l AS MATERIALIZED (
		SELECT n.id, n.xmin::text::bigint AS xmin FROM live_sessions n
		WHERE n.id = ANY(session_ids)
	), s AS MATERIALIZED (
		SELECT g.session_id, g.xmin::text::bigint AS xmin FROM grading_sessions g
		WHERE g.session_id = ANY(session_ids)
	)
	SELECT u.place::integer, l.xmin
	FROM unnest(session_ids, live, counted) WITH ORDINALITY
		AS u(id, live, counted, place)
	LEFT JOIN l ON l.id = u.id LEFT JOIN s ON s.session_id = u.id
	WHERE l.xmin IS DISTINCT FROM u.live OR s.xmin IS DISTINCT FROM u.counted;
EXCEPTION
	WHEN undefined_table OR undefined_column THEN	-- then all are gone
		RETURN QUERY SELECT u.place::integer, NULL::bigint
		FROM pg_catalog.unnest(session_ids) WITH ORDINALITY AS u(id, place);
END $$;

-- Gives the daemon's role what the mirror needs of live_sessions, where that is there: columns, and
-- policies where row-level security is on. Says whether it is. To be called again when the table or
-- its security came later; migrate calls it, too.
CREATE OR REPLACE FUNCTION grading_allow_mirror() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	live constant regclass := pg_catalog.to_regclass('live_sessions'::text);
	worker constant name := 'gradingd_worker';
	item record;
	columns text;
BEGIN
	IF live IS NULL OR pg_catalog.to_regrole(worker::text) IS NULL THEN
		RETURN false;
	END IF;
	SELECT c.relrowsecurity, c.relnamespace AS schema INTO item
	FROM pg_catalog.pg_class c WHERE c.oid = live::oid;
	IF NOT pg_catalog.has_schema_privilege(worker, item.schema, 'USAGE'::text) THEN
		EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %s TO %I'::text,
			item.schema::regnamespace, worker);
	END IF;
	columns := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname::text), ', '::text)
		FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = live::oid AND NOT a.attisdropped
		  AND a.attname = ANY(ARRAY['id'::name, 'analytics'::name, 'full_transcript'::name,
			'grading_status'::name, 'xmin'::name])
		  AND NOT pg_catalog.has_column_privilege(worker, live, a.attnum, 'SELECT'::text));
	IF columns IS NOT NULL THEN
		EXECUTE pg_catalog.format('GRANT SELECT (%s) ON %s TO %I'::text, columns, live, worker);
	END IF;
	columns := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname::text), ', '::text)
		FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = live::oid AND NOT a.attisdropped
		  AND a.attname = ANY(ARRAY['analytics'::name, 'grading_status'::name])
		  AND NOT pg_catalog.has_column_privilege(worker, live, a.attnum, 'UPDATE'::text));
	IF columns IS NOT NULL THEN
		EXECUTE pg_catalog.format('GRANT UPDATE (%s) ON %s TO %I'::text, columns, live, worker);
	END IF;
	IF item.relrowsecurity AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_policy p
		WHERE p.polrelid = live::oid AND p.polname = 'grading_mirror'::name) THEN
		EXECUTE pg_catalog.format('CREATE POLICY grading_mirror ON %s FOR UPDATE TO %I'
			' USING (true)'::text, live, worker);
	END IF;
	IF item.relrowsecurity AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_policy p
		WHERE p.polrelid = live::oid AND p.polname = 'grading_mirror_select'::name) THEN
		EXECUTE pg_catalog.format('CREATE POLICY grading_mirror_select ON %s FOR SELECT TO %I'
			' USING (true)'::text, live, worker);
	END IF;
	RETURN true;
EXCEPTION
	WHEN insufficient_privilege OR lock_not_available OR wrong_object_type THEN
		RAISE WARNING 'ratings are not mirrored into live_sessions where the daemon connects'
			' as %: %', worker, SQLERRM
			USING HINT = 'As the owner of live_sessions: SELECT grading_allow_mirror();';
		RETURN false;
END $$;

-- Sessions that are deleted from the application's live_sessions are forgotten here.
CREATE OR REPLACE FUNCTION grading_live_sessions_gone() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM grading_forget_many(ARRAY(SELECT gone.id FROM gone));
	RETURN NULL;
END $$;

-- Has them forgotten: makes the trigger, where live_sessions exists with a key of our kind, and
-- says whether it is there. To be called again when the table came later; migrate calls it, too.
CREATE OR REPLACE FUNCTION grading_follow_live_sessions() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	live constant regclass := pg_catalog.to_regclass('live_sessions'::text);
	gone constant regprocedure := 'grading_live_sessions_gone()'::regprocedure;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
		WHERE a.attrelid OPERATOR(pg_catalog.=) live::oid
		  AND a.attname OPERATOR(pg_catalog.=) 'id'::name AND NOT a.attisdropped
		  AND a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.uuid'::regtype::oid
		  AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r'::"char", 'p'::"char"])) THEN
		RETURN false;
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_trigger t
		WHERE t.tgrelid OPERATOR(pg_catalog.=) live::oid
		  AND t.tgfoid OPERATOR(pg_catalog.=) gone::oid) THEN
		RETURN true;
	END IF;
	EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS'
		' gone FOR EACH STATEMENT EXECUTE FUNCTION %s'::text, 'grading_forget'::text,
		live, gone);
	RETURN true;
EXCEPTION
	WHEN insufficient_privilege OR lock_not_available OR wrong_object_type
		OR feature_not_supported THEN
		RAISE WARNING 'sessions that are deleted from live_sessions stay here: %', SQLERRM
			USING HINT = 'As the owner of both: SELECT grading_follow_live_sessions();';
		RETURN false;
END $$;

-- Puts into the outbox that a session has ended, or has gone a step, in the transaction that moves
-- it: triggers of grading_sessions call this (grading_webhooks_register() makes them). Each leaves
-- to the other what that says. A session with open jobs has not ended, whatever its counters say,
-- since rows that an application inserts one by one announce nothing. That is looked at under the
-- lock of the session's row and with a snapshot of its own, so of two settlements at the same time
-- the second one sees what the first one did.
CREATE OR REPLACE FUNCTION grading_sessions_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	form constant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'::text;
	ended constant boolean := NEW.completed_at IS NOT NULL AND NOT EXISTS (
		SELECT FROM grading_jobs g WHERE g.session_id = NEW.session_id
		  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)
			IS TRUE
		  AND NOT grading_is_whole(g.job_type::text, g.job_data));
BEGIN
	IF ended <> (TG_ARGV[0] = 'ended'::text) THEN
		RETURN NULL;
	END IF;
	-- By the clock, not by when this began: in the order in which the session's row was locked.
	-- (An id of grading_uuid()'s would be in that order, but its plan costs more than all this.)
	INSERT INTO grading_webhook_outbox (id, hook, created_at, session_id, type, data)
	SELECT gen_random_uuid(), h.name, clock_timestamp(), NEW.session_id,
		CASE WHEN ended THEN 'session.ended'::text ELSE 'session.step'::text END,
		pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
			'session_id'::text, NEW.session_id,
			'status'::text, CASE WHEN ended THEN NEW.status ELSE 'processing'::text END,
			'tenant'::text, "left"(NEW.tenant, 200),
			'profile'::text, "left"(NEW.profile, 200),
			'batches'::text, pg_catalog.jsonb_build_object(
				'total'::text, NEW.total_batches,
				'completed'::text, NEW.completed_batches,
				'failed'::text, NEW.failed_batches),
			'lines'::text, pg_catalog.jsonb_build_object(
				'total'::text, greatest(NEW.total_lines, NEW.rated_lines),
				'rated'::text, NEW.rated_lines,
				'skipped'::text, NEW.skipped_lines),
			'started_at'::text, to_char(NEW.started_at AT TIME ZONE 'UTC'::text, form),
			'first_rated_at'::text,
				to_char(NEW.first_rated_at AT TIME ZONE 'UTC'::text, form),
			'completed_at'::text, CASE WHEN ended THEN
				to_char(NEW.completed_at AT TIME ZONE 'UTC'::text, form) END))
	FROM grading_webhooks h
	WHERE h.disabled_at IS NULL AND h.seen_at > now() - '7 days'::interval
	  AND (ended OR h.steps)
	ORDER BY h.name;
	RETURN NULL;
END $$;

-- The same for a session that was graded as a whole, which comes after its end.
CREATE OR REPLACE FUNCTION grading_wholes_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	INSERT INTO grading_webhook_outbox (id, hook, created_at, session_id, type, data)
	SELECT gen_random_uuid(), h.name, clock_timestamp(), NEW.session_id,
		'session.graded'::text, pg_catalog.jsonb_build_object(
			'session_id'::text, NEW.session_id, 'full_grading'::text,
			-- A message has 16 KiB.
			CASE WHEN octet_length(NEW.grading::text) <= 12000 THEN NEW.grading
			ELSE NEW.grading - ARRAY['ratings'::text, 'strengths'::text,
					'improvements'::text]
				|| pg_catalog.jsonb_build_object('summary'::text,
					"left"(NEW.grading ->> 'summary'::text, 1000)) END)
	FROM grading_webhooks h
	WHERE h.disabled_at IS NULL AND h.seen_at > now() - '7 days'::interval
	ORDER BY h.name;
	RETURN NULL;
END $$;

-- Says which webhooks this daemon delivers to, and which of them want to hear of each step; from
-- then on what they want is put into the outbox. The triggers are made when they are needed first:
-- that waits for whoever is at grading_sessions, and others behind it, so no longer than a second.
CREATE OR REPLACE FUNCTION grading_webhooks_register(names text[], steps boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	counted constant text := 'OLD.completed_batches <> NEW.completed_batches'
		' OR OLD.failed_batches <> NEW.failed_batches';
	wanted record;
BEGIN
	PERFORM pg_catalog.set_config('lock_timeout'::text, '1s'::text, true);
	INSERT INTO grading_webhooks AS h (name, steps, seen_at)
	SELECT u.name, u.steps, now()
	FROM unnest(names, grading_webhooks_register.steps) AS u(name, steps)
	ORDER BY u.name
	ON CONFLICT (name) DO UPDATE SET steps = excluded.steps, seen_at = excluded.seen_at;
	FOR wanted IN
		SELECT t.name, t.target, t.event, t.condition, t.teller, t.argument
		FROM (VALUES
			('grading_sessions_end'::text, 'grading_sessions'::regclass,
			 'grading_sessions_tell()'::regprocedure, 'UPDATE'::text,
			 'NEW.completed_at IS NOT NULL AND (OLD.completed_at IS NULL OR '::text
				|| counted || ')'::text, 'ended'::text, false),
			('grading_sessions_end_at_once'::text, 'grading_sessions'::regclass,
			 'grading_sessions_tell()'::regprocedure, 'INSERT'::text,
			 'NEW.completed_at IS NOT NULL'::text, 'ended'::text, false),
			('session_gradings_tell'::text, 'session_gradings'::regclass,
			 'grading_wholes_tell()'::regprocedure, 'INSERT OR UPDATE'::text,
			 'true'::text, 'graded'::text, false),
			('grading_sessions_step'::text, 'grading_sessions'::regclass,
			 'grading_sessions_tell()'::regprocedure, 'UPDATE'::text,
			 'OLD.rated_lines <> NEW.rated_lines OR '::text || counted, 'step'::text,
			 true),
			('grading_sessions_step_at_once'::text, 'grading_sessions'::regclass,
			 'grading_sessions_tell()'::regprocedure, 'INSERT'::text,
			 'NEW.rated_lines + NEW.completed_batches + NEW.failed_batches > 0'::text,
			 'step'::text, true)
		) AS t(name, target, teller, event, condition, argument, for_steps)
		WHERE (NOT t.for_steps OR EXISTS (SELECT FROM grading_webhooks h WHERE h.steps))
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g
			WHERE g.tgrelid OPERATOR(pg_catalog.=) t.target::oid
			  AND g.tgname OPERATOR(pg_catalog.=) t.name::name)
	LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW WHEN (%s)'
			' EXECUTE FUNCTION %s(%L)'::text, wanted.name, wanted.event,
			wanted.target, wanted.condition, wanted.teller::oid::regproc,
			wanted.argument);
	END LOOP;
END $$;

-- Forgets a webhook: what is kept for it, and with the last one, or the last that wants steps, the
-- triggers. Returns how many messages were still waiting for it, null where it is not known.
CREATE OR REPLACE FUNCTION grading_webhooks_remove(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	waiting bigint;
	surplus record;
BEGIN
	PERFORM pg_catalog.set_config('lock_timeout'::text, '5s'::text, true);
	DELETE FROM grading_webhooks h WHERE h.name = grading_webhooks_remove.name;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	waiting := (SELECT pg_catalog.count(*) FROM grading_webhook_outbox o
		WHERE o.hook = grading_webhooks_remove.name AND o.state = 'waiting'::text);
	DELETE FROM grading_webhook_outbox o WHERE o.hook = grading_webhooks_remove.name;
	FOR surplus IN
		SELECT g.tgname::text AS name, g.tgrelid::regclass AS target
		FROM pg_catalog.pg_trigger g
		WHERE (g.tgfoid OPERATOR(pg_catalog.=) 'grading_sessions_tell()'::regprocedure::oid
			OR g.tgfoid OPERATOR(pg_catalog.=)
				'grading_wholes_tell()'::regprocedure::oid)
		  AND NOT EXISTS (SELECT FROM grading_webhooks h
			WHERE h.steps OR NOT starts_with(g.tgname::text, 'grading_sessions_step'::text))
	LOOP
		EXECUTE pg_catalog.format('DROP TRIGGER %I ON %s'::text, surplus.name,
			surplus.target);
	END LOOP;
	RETURN waiting;
END $$;

-- Puts roles, privileges and policies as they should be, on those of our tables and functions that
-- exist. May be called again at any time by the owner of the tables: after a migration that makes a
-- table, after a role was created. Tables are locked in the order in which the daemon locks rows.
-- 089 says what the roles are for.
CREATE OR REPLACE FUNCTION grading_secure() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	tables constant text[] := ARRAY['grading_migrations', 'grading_jobs', 'phrase_cache',
		'phrase_flights', 'grading_sessions', 'line_ratings', 'grading_provenance',
		'grading_settings', 'session_gradings', 'grading_mirrors', 'grading_channels',
		'grading_webhooks', 'grading_webhook_outbox', 'grading_tenants'];
	sequences constant text[] := ARRAY['grading_claims', 'grading_cursors'];
	-- What the functions below are made of; nobody else calls them.
	inner_functions constant text[] := ARRAY['grading_speakers', 'grading_entries',
		'grading_known_lines', 'grading_unrated', 'grading_check_options',
		'grading_check_entries', 'grading_check_job', 'grading_check_room',
		'grading_say_what_is_rated', 'grading_forget_phrases', 'grading_clean_rows',
		'grading_phrase', 'grading_application_key', 'grading_drop_phrases',
		'grading_is_whole', 'grading_submit_whole'];
	functions constant text[] := ARRAY['grading_uuid', 'grading_jobs_wake',
		'grading_jobs_place', 'grading_jobs_keep_place', 'grading_jobs_band',
		'grading_jobs_tenant', 'grading_refuse_line',
		'grading_submit', 'grading_enqueue', 'grading_progress', 'grading_ratings', 'grading_count',
		'grading_recount', 'grading_recount_many', 'grading_put_back', 'grading_retry',
		'grading_retry_many',
		'grading_cancel', 'grading_forget', 'grading_forget_many', 'grading_clean_sessions',
		'grading_live_sessions_gone', 'grading_follow_live_sessions', 'grading_may_read',
		'grading_mirror_lines', 'grading_mirror_document', 'grading_mirror_words',
		'grading_mirror', 'grading_mirror_changes', 'grading_allow_mirror',
		'grading_sessions_tell', 'grading_wholes_tell', 'grading_webhooks_register',
		'grading_webhooks_remove',
		'grading_drop_phrase', 'grading_phrases_gone', 'grading_phrases_known',
		'grading_follow_phrase_cache', 'grading_open_jobs', 'gradingd_jobs_of',
		'grading_whole', 'grading_whole_source', 'grading_secure']
		OPERATOR(pg_catalog.||) inner_functions;
	-- Role, table or function, privileges.
	rights constant text[] := ARRAY[
		['gradingd_worker', 'grading_migrations', 'SELECT'],
		['gradingd_worker', 'grading_jobs', 'SELECT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_cache', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_flights', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_sessions', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'line_ratings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_provenance', 'SELECT, INSERT'],
		['gradingd_worker', 'grading_settings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'session_gradings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_mirrors', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_channels', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_webhooks', 'SELECT, UPDATE'],
		['gradingd_worker', 'grading_webhook_outbox', 'SELECT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_tenants', 'SELECT, INSERT'],
		['gradingd_worker', 'grading_progress', 'EXECUTE'],
		['gradingd_worker', 'grading_whole', 'EXECUTE'],
		['gradingd_worker', 'grading_whole_source', 'EXECUTE'],
		['gradingd_worker', 'grading_speakers', 'EXECUTE'],
		['gradingd_worker', 'grading_entries', 'EXECUTE'],
		['gradingd_worker', 'grading_known_lines', 'EXECUTE'],
		['gradingd_worker', 'grading_is_whole', 'EXECUTE'],
		['gradingd_worker', 'grading_mirror_lines', 'EXECUTE'],
		['gradingd_worker', 'grading_mirror_document', 'EXECUTE'],
		['gradingd_worker', 'grading_mirror_words', 'EXECUTE'],
		['gradingd_worker', 'grading_mirror', 'EXECUTE'],
		['gradingd_worker', 'grading_mirror_changes', 'EXECUTE'],
		['gradingd_worker', 'grading_open_jobs', 'EXECUTE'],
		['gradingd_worker', 'grading_ratings', 'EXECUTE'],
		['gradingd_worker', 'grading_refuse_line', 'EXECUTE'],
		['gradingd_worker', 'grading_count', 'EXECUTE'],
		['gradingd_worker', 'grading_recount', 'EXECUTE'],
		['gradingd_worker', 'grading_recount_many', 'EXECUTE'],
		['gradingd_worker', 'gradingd_jobs_of', 'EXECUTE'],
		['gradingd_worker', 'grading_put_back', 'EXECUTE'],
		['gradingd_worker', 'grading_retry', 'EXECUTE'],
		['gradingd_worker', 'grading_retry_many', 'EXECUTE'],
		['gradingd_worker', 'grading_cancel', 'EXECUTE'],
		['gradingd_worker', 'grading_forget', 'EXECUTE'],
		['gradingd_worker', 'grading_forget_many', 'EXECUTE'],
		['gradingd_worker', 'grading_clean_sessions', 'EXECUTE'],
		['gradingd_worker', 'grading_drop_phrase', 'EXECUTE'],
		['gradingd_worker', 'grading_webhooks_register', 'EXECUTE'],
		['gradingd_worker', 'grading_webhooks_remove', 'EXECUTE'],
		['grading_app', 'grading_migrations', 'SELECT'],
		['grading_app', 'grading_jobs',
		 'SELECT, INSERT (id, session_id, job_type, job_data, priority, available_at)'],
		['grading_app', 'grading_jobs', 'INSERT (tenant, profile)'],
		['grading_app', 'grading_jobs', 'INSERT (status, created_at)'],
		['grading_app', 'grading_sessions', 'SELECT'],
		['grading_app', 'line_ratings', 'SELECT'],
		['grading_app', 'grading_provenance', 'SELECT'],
		['grading_app', 'grading_line_ratings', 'SELECT'],
		['grading_app', 'grading_bi_lines', 'SELECT'],
		['grading_app', 'grading_bi_sessions', 'SELECT'],
		['grading_app', 'grading_bi_days', 'SELECT'],
		['grading_app', 'grading_settings', 'SELECT'],
		['grading_app', 'session_gradings', 'SELECT'],
		['grading_app', 'grading_uuid', 'EXECUTE'],
		['grading_app', 'grading_submit', 'EXECUTE'],
		['grading_app', 'grading_enqueue', 'EXECUTE'],
		['grading_app', 'grading_progress', 'EXECUTE'],
		['grading_app', 'grading_open_jobs', 'EXECUTE'],
		['grading_app', 'grading_ratings', 'EXECUTE'],
		['grading_app', 'grading_whole', 'EXECUTE'],
		['grading_app', 'gradingd_jobs_of', 'EXECUTE'],
		['grading_app', 'grading_put_back', 'EXECUTE'],
		['grading_app', 'grading_retry', 'EXECUTE'],
		['grading_app', 'grading_retry_many', 'EXECUTE'],
		['grading_app', 'grading_cancel', 'EXECUTE'],
		['grading_app', 'grading_recount', 'EXECUTE'],
		['grading_app', 'grading_recount_many', 'EXECUTE'],
		['grading_app', 'grading_forget', 'EXECUTE'],
		['grading_app', 'grading_forget_many', 'EXECUTE'],
		['grading_reader', 'grading_migrations', 'SELECT'],
		['grading_reader', 'grading_sessions', 'SELECT'],
		['grading_reader', 'line_ratings', 'SELECT'],
		['grading_reader', 'grading_provenance', 'SELECT'],
		['grading_reader', 'grading_line_ratings', 'SELECT'],
		['grading_reader', 'grading_bi_lines', 'SELECT'],
		['grading_reader', 'grading_bi_sessions', 'SELECT'],
		['grading_reader', 'grading_bi_days', 'SELECT'],
		['grading_reader', 'grading_progress', 'EXECUTE'],
		['grading_reader', 'grading_open_jobs', 'EXECUTE'],
		['grading_reader', 'gradingd_jobs_of', 'EXECUTE'],
		['grading_reader', 'grading_ratings', 'EXECUTE'],
		['service_role', 'grading_migrations', 'SELECT'],
		['service_role', 'grading_jobs', 'SELECT, INSERT, UPDATE, DELETE'],
		['service_role', 'phrase_cache', 'SELECT, INSERT, UPDATE, DELETE'],
		['service_role', 'grading_sessions', 'SELECT, INSERT, UPDATE, DELETE'],
		['service_role', 'line_ratings', 'SELECT, INSERT, UPDATE, DELETE'],
		['service_role', 'grading_provenance', 'SELECT'],
		['service_role', 'grading_line_ratings', 'SELECT'],
		['service_role', 'grading_bi_lines', 'SELECT'],
		['service_role', 'grading_bi_sessions', 'SELECT'],
		['service_role', 'grading_bi_days', 'SELECT'],
		['service_role', 'grading_settings', 'SELECT'],
		['service_role', 'session_gradings', 'SELECT, INSERT, UPDATE, DELETE'],
		['service_role', 'grading_uuid', 'EXECUTE'],
		['service_role', 'grading_submit', 'EXECUTE'],
		['service_role', 'grading_enqueue', 'EXECUTE'],
		['service_role', 'grading_progress', 'EXECUTE'],
		['service_role', 'grading_open_jobs', 'EXECUTE'],
		['service_role', 'grading_ratings', 'EXECUTE'],
		['service_role', 'grading_whole', 'EXECUTE'],
		['service_role', 'grading_recount', 'EXECUTE'],
		['service_role', 'grading_recount_many', 'EXECUTE'],
		['service_role', 'gradingd_jobs_of', 'EXECUTE'],
		['service_role', 'grading_put_back', 'EXECUTE'],
		['service_role', 'grading_retry', 'EXECUTE'],
		['service_role', 'grading_retry_many', 'EXECUTE'],
		['service_role', 'grading_cancel', 'EXECUTE'],
		['service_role', 'grading_forget', 'EXECUTE'],
		['service_role', 'grading_forget_many', 'EXECUTE'],
		['service_role', 'grading_drop_phrase', 'EXECUTE'],
		['service_role', 'grading_may_read', 'EXECUTE'],
		['authenticated', 'grading_sessions', 'SELECT'],
		['authenticated', 'line_ratings', 'SELECT'],
		['authenticated', 'grading_provenance', 'SELECT'],
		['authenticated', 'session_gradings', 'SELECT'],
		['authenticated', 'grading_progress', 'EXECUTE'],
		['authenticated', 'grading_open_jobs', 'EXECUTE'],
		['authenticated', 'gradingd_jobs_of', 'EXECUTE'],
		['authenticated', 'grading_ratings', 'EXECUTE'],
		['authenticated', 'grading_whole', 'EXECUTE'],
		['authenticated', 'grading_may_read', 'EXECUTE']];
	-- What a right on a table brought before functions were for some only: privilege, table,
	-- function.
	usual constant text[] := ARRAY[
		['INSERT', 'grading_jobs', 'grading_uuid'],
		['INSERT', 'grading_jobs', 'grading_submit'],
		['INSERT', 'grading_jobs', 'grading_enqueue'],
		['SELECT', 'grading_sessions', 'grading_progress'],
		['SELECT', 'grading_sessions', 'grading_open_jobs'],
		['SELECT', 'grading_sessions', 'gradingd_jobs_of'],
		['SELECT', 'line_ratings', 'grading_ratings'],
		['SELECT', 'line_ratings', 'grading_whole'],
		['UPDATE', 'line_ratings', 'grading_refuse_line'],
		['UPDATE', 'grading_sessions', 'grading_count'],
		['UPDATE', 'grading_jobs', 'grading_recount'],
		['UPDATE', 'grading_jobs', 'grading_recount_many'],
		['UPDATE', 'grading_jobs', 'grading_put_back'],
		['UPDATE', 'grading_jobs', 'grading_retry'],
		['UPDATE', 'grading_jobs', 'grading_retry_many'],
		['UPDATE', 'grading_jobs', 'grading_cancel'],
		['DELETE', 'grading_jobs', 'grading_forget'],
		['DELETE', 'grading_jobs', 'grading_forget_many'],
		['DELETE', 'grading_jobs', 'grading_clean_sessions'],
		['DELETE', 'phrase_cache', 'grading_drop_phrase']];
	-- Those that act with the rights of their owner, so that a caller needs none on a table.
	trusted constant text[] := ARRAY['grading_submit', 'grading_enqueue', 'grading_recount',
		'grading_recount_many', 'grading_put_back', 'grading_retry', 'grading_retry_many',
		'grading_cancel', 'grading_forget', 'grading_forget_many', 'grading_clean_sessions',
		'grading_live_sessions_gone', 'grading_jobs_keep_place', 'grading_jobs_tenant',
		'grading_open_jobs',
		'gradingd_jobs_of', 'grading_drop_phrase', 'grading_phrases_gone',
		'grading_phrases_known', 'grading_sessions_tell', 'grading_webhooks_register',
		'grading_webhooks_remove', 'grading_wholes_tell'];
	-- Those that act with their caller's, and find what the path of whoever calls this names.
	pathed constant text[] := ARRAY['grading_progress', 'grading_ratings', 'grading_whole',
		'grading_whole_source', 'grading_count',
		'grading_follow_live_sessions', 'grading_follow_phrase_cache',
		'grading_refuse_line', 'grading_allow_mirror', 'grading_mirror',
		'grading_mirror_changes'];
	strangers constant text[] := ARRAY['anon', 'authenticated'];
	ours constant text[] := ARRAY['gradingd_worker', 'grading_app', 'grading_reader'];
	-- Gets what it needs where another than Supabase's own role has migrated; whatever else it
	-- has it keeps.
	back_end constant text := 'service_role';
	policies constant text[] := ARRAY['grading_worker', 'grading_app_select',
		'grading_app_insert', 'grading_service', 'grading_reader', 'grading_reports',
		'grading_kept'];
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
	settings constant regclass := relations[8];
	gradings constant regclass := relations[9];
	webhooks constant regclass := pg_catalog.to_regclass('grading_webhooks');
	outbox constant regclass := pg_catalog.to_regclass('grading_webhook_outbox');
	tenants constant regclass := pg_catalog.to_regclass('grading_tenants');
	views constant regclass[] := ARRAY(
		SELECT pg_catalog.to_regclass(v) FROM pg_catalog.unnest(ARRAY['grading_line_ratings',
			'grading_bi_lines', 'grading_bi_sessions', 'grading_bi_days']) AS v);
	numbers constant regclass[] := ARRAY(
		SELECT pg_catalog.to_regclass(s) FROM pg_catalog.unnest(sequences) AS s);
	present text[];
	granted text[];
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
	granted := ARRAY(SELECT rolname FROM pg_roles
		WHERE rolname = ANY(ours || strangers || back_end));

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
				               ' TO grading_app WITH CHECK (status::text ='
				               ' ''pending''::text)', target);
			END IF;
			IF 'grading_reader' = ANY(present) AND name IN ('grading_migrations',
				'grading_sessions', 'line_ratings') THEN
				EXECUTE format('CREATE POLICY grading_reports ON %s FOR SELECT'
				               ' TO grading_reader USING (true)', target);
			END IF;
			IF back_end = ANY(granted) AND name NOT IN ('grading_provenance',
				'phrase_flights') THEN
				EXECUTE format('CREATE POLICY grading_service ON %s TO %I'
				               ' USING (true)', target, back_end);
			END IF;
			IF 'authenticated' = ANY(present)
			   AND name IN ('grading_sessions', 'line_ratings', 'session_gradings')
			THEN
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
				IF rights[i][2] = name AND rights[i][1] = ANY(granted)
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
		FROM pg_class c WHERE c.oid = ANY(numbers || views) AND c.relkind IN ('S', 'v')
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
				IF rights[i][2] = item.relname AND rights[i][1] = ANY(granted) THEN
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
				IF rights[i][2] = item.proname AND rights[i][1] = ANY(granted) THEN
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I',
					               item.target, rights[i][1]);
				END IF;
			END LOOP;
			FOR i IN 1 .. array_length(usual, 1) LOOP
				CONTINUE WHEN usual[i][3] <> item.proname
					AND NOT (item.proname = ANY(inner_functions)
						AND usual[i][3] = 'grading_submit');
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
			-- Whoever calls them has the rights of this role.
			IF item.proname = ANY(inner_functions) THEN
				SELECT pg_get_userbyid(relowner) INTO role
				FROM pg_class WHERE oid = jobs;
				BEGIN
					EXECUTE format('ALTER FUNCTION %s OWNER TO %I',
					               item.target, role);
				EXCEPTION WHEN insufficient_privilege THEN
					NULL;	-- said of those that call it
				END;
			END IF;
			-- The triggers of a table's owner run with its rights, so it must be his:
			-- he who migrated has more, perhaps.
			IF item.proname = ANY(trusted) THEN
				EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER', item.target);
				SELECT pg_get_userbyid(relowner) INTO role
				FROM pg_class WHERE oid = jobs;
				BEGIN
					FOR target_oid IN SELECT oid FROM pg_class
						WHERE oid = ANY(ARRAY[sessions, ratings, settings,
							gradings, webhooks, outbox, tenants])
						  AND relowner = item.proowner
						  AND pg_get_userbyid(relowner) <> role
					LOOP
						EXECUTE format('ALTER TABLE %s OWNER TO %I',
						               target_oid::regclass, role);
					END LOOP;
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

COMMENT ON FUNCTION grading_submit(uuid, jsonb, jsonb) IS
	'splits a transcript into jobs, what is known of it excepted; says what became of it';
COMMENT ON FUNCTION grading_enqueue(uuid, jsonb, text, text, integer, integer) IS
	'as grading_submit(); returns the number of jobs made';
COMMENT ON FUNCTION grading_open_jobs(uuid) IS
	'how many jobs of the session wait or are being rated';
COMMENT ON FUNCTION grading_progress(uuid, interval) IS
	'how far a session is; over when none of its jobs is open, however many are still to come';
COMMENT ON FUNCTION grading_whole(uuid) IS
	'how the session was graded as a whole, as one object; null where it was not';
COMMENT ON FUNCTION grading_whole_source(uuid, integer) IS
	'what the session as a whole is graded by; the daemon''s claims call it';
COMMENT ON FUNCTION grading_count(uuid[], integer[], integer[], integer[], integer[], integer[]) IS
	'moves the counters of sessions; grading_retry() and grading_cancel() call it';
COMMENT ON FUNCTION grading_refuse_line(uuid, integer) IS
	'refuses to replace a line of another job; the daemon''s settlements call it';
COMMENT ON FUNCTION grading_recount(uuid) IS
	'makes the session''s counters what its rows say; true when they were others';
COMMENT ON FUNCTION grading_recount_many(uuid[]) IS
	'as grading_recount(), for many sessions at once; returns how many were changed';
COMMENT ON FUNCTION grading_retry(uuid, boolean) IS
	'puts the session''s failed jobs back into the queue, or all that lack ratings; returns how'
	' many';
COMMENT ON FUNCTION grading_retry_many(uuid[]) IS
	'puts the failed jobs of these sessions back into the queue; returns how many';
COMMENT ON FUNCTION grading_put_back(uuid[], boolean, boolean) IS
	'puts the failed, the incomplete, or both kinds of jobs of these sessions back';
COMMENT ON FUNCTION grading_cancel(uuid) IS
	'ends the session''s open jobs as failed, "cancelled"; returns how many';
COMMENT ON FUNCTION grading_forget(uuid) IS
	'removes all that is kept of the session; returns how many rows it was';
COMMENT ON FUNCTION grading_forget_many(uuid[]) IS
	'as grading_forget(), for many sessions at once';
COMMENT ON FUNCTION grading_follow_live_sessions() IS
	'has sessions forgotten that are deleted from live_sessions, where that is';
COMMENT ON FUNCTION grading_mirror_lines(uuid, jsonb) IS
	'the numbers of the session''s lines in the application''s own transcript';
COMMENT ON FUNCTION grading_mirror_document(uuid, jsonb) IS
	'what the mirror shows of the session, and whether that is over';
COMMENT ON FUNCTION grading_mirror_words(regclass, text) IS
	'words for a status that the constraints of grading_status allow';
COMMENT ON FUNCTION grading_mirror(uuid, text) IS
	'shows the session''s progress and ratings in live_sessions; the daemon''s publisher calls it';
COMMENT ON FUNCTION grading_mirror_changes(uuid[], bigint[], bigint[]) IS
	'which of these sessions the mirror must look at again; the daemon''s publisher calls it';
COMMENT ON FUNCTION grading_allow_mirror() IS
	'gives the daemon''s role what the mirror needs of live_sessions, where that is';
COMMENT ON FUNCTION grading_drop_phrase(text) IS
	'removes a phrase from phrase_cache under all its keys; returns how many entries it had';
COMMENT ON FUNCTION grading_follow_phrase_cache() IS
	'has phrases that are deleted from phrase_cache go under all their keys';
COMMENT ON FUNCTION grading_webhooks_register(text[], boolean[]) IS
	'says which webhooks a daemon delivers to; what they want is kept from then on';
COMMENT ON FUNCTION grading_webhooks_remove(text) IS
	'forgets a webhook and what is kept for it; returns how many messages still waited';
COMMENT ON FUNCTION grading_secure() IS
	'roles, privileges and policies as they should be; harmless to call again';

SET client_min_messages = error;	-- what could not be secured, 089 has said
DO $$ BEGIN PERFORM grading_secure(); END $$;
SET client_min_messages = warning;
DO $$ BEGIN PERFORM grading_follow_live_sessions(); END $$;
DO $$ BEGIN PERFORM grading_allow_mirror(); END $$;
DO $$ BEGIN PERFORM grading_follow_phrase_cache(); END $$;

-- Version 0, so that the highest is a numbered file's. psql knows no checksum: then there is none.
INSERT INTO grading_migrations (version, name) VALUES (0, 'functions.sql')
ON CONFLICT (version) DO UPDATE SET checksum = NULL, applied_at = now();

RESET lock_timeout;
RESET client_min_messages;
