-- 089: who may do what: roles, privileges, row-level security.
--
--   gradingd_worker   what the daemon needs and nothing more: GRANT gradingd_worker TO the role it connects as
--   grading_app       what an application needs: grading_enqueue(), grading_retry(), grading_cancel(), plain rows (only
--                     the columns that make one), and reading progress, ratings and jobs: GRANT grading_app TO the role
--                     it connects as
--   anon              Supabase's: nothing
--   authenticated     Supabase's: the ratings of sessions for which grading_may_read() says so; by default of none
--
-- Row-level security is not forced: the owner of the tables, superusers and roles with BYPASSRLS (Supabase's postgres
-- and service_role) notice nothing of it. Roles that were granted something on a table before it was switched on keep
-- exactly that. Where roles cannot be created the rest is done all the same.

SET lock_timeout = '5s';
SET client_min_messages = notice;

-- Whether the user who asks may read a session's ratings. An application replaces it; it is made once and never
-- overwritten. For example, where live_sessions says whose a session is:
--
--   CREATE OR REPLACE FUNCTION grading_may_read(session_id uuid) RETURNS boolean
--   LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
--     SELECT EXISTS (SELECT FROM public.live_sessions s
--                    WHERE s.id = grading_may_read.session_id AND s.user_id = auth.uid()) $$;
DO $do$
BEGIN
	IF to_regprocedure('grading_may_read(uuid)') IS NULL THEN
		CREATE FUNCTION grading_may_read(session_id uuid) RETURNS boolean
		LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT false';
	END IF;
END $do$;

-- grading_uuid() as 082 has it, but with the types of its operators spelled out, for the reason that follows: as a
-- column's default it is run by grading_enqueue(), too.
CREATE OR REPLACE FUNCTION grading_uuid() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
	SELECT encode(
		overlay(uuid_send(gen_random_uuid()) PLACING
			int8send((us / 1000) << 16 | x'7000'::bigint | (us % 1000::bigint) * 4096 / 1000) FROM 1 FOR 8),
		'hex'::text)::uuid
	FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000::numeric)::bigint AS us) AS now
$$;

-- grading_enqueue() as 085 has it, but with the rights of its owner (grading_secure(), below, sees to that and to its
-- search_path), so that whoever may call it needs no right on a table. Where others may create functions and operators
-- in our schema, one that fits the types of a call better than pg_catalog's would be theirs, and run with our rights. So
-- a function that takes any types is named with its schema, a literal with its type, and no operator is left to find
-- out that one of its sides must be converted.
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
		RAISE EXCEPTION 'batch_size is %; it must be from 1 to 1000', coalesce(batch_size::text, 'null'::text)
			USING ERRCODE = 'invalid_parameter_value';
	END IF;

	batches := (jsonb_array_length(transcript) + batch_size - 1) / batch_size;
	-- As the workers read it: speaker rep or user, and some character that is not Unicode White_Space.
	SELECT count(*) FILTER (WHERE pg_catalog.concat(entry ->> 'text'::text, entry ->> 'message'::text)
	           ~ '[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'::text),
	       count(*) FILTER (WHERE coalesce(entry ->> 'text'::text, entry ->> 'message'::text) IS NULL)
	INTO lines, textless FROM jsonb_array_elements(transcript) AS t(entry)
	WHERE lower(btrim(entry ->> 'speaker'::text, E' \t\r\n'::text)) = ANY(ARRAY['rep'::text, 'user'::text]);

	INSERT INTO grading_sessions AS s (session_id, total_batches, total_lines, announced, completed_at)
	VALUES (session_id, batches, lines, true, CASE WHEN batches = 0 THEN now() END)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;

	-- A slip of the pen in a key or a speaker's name would else go unnoticed.
	IF lines = 0 AND batches > 0 THEN
		SELECT pg_catalog.string_agg(found.speaker, ', '::text) INTO speakers FROM (
			SELECT DISTINCT coalesce('"'::text || "left"(entry ->> 'speaker'::text, 40) || '"'::text, 'none'::text) AS speaker
			FROM jsonb_array_elements(transcript) AS t(entry) ORDER BY speaker LIMIT 5) AS found;
		RAISE NOTICE 'session %: nothing is rated: no line of speaker "rep" or "user" has a "text" (speakers found: %)',
			session_id, speakers;
	ELSIF textless > 0 THEN
		RAISE NOTICE 'session %: not rated, because they have no "text": % of the lines of speaker "rep" or "user"',
			session_id, textless;
	END IF;

	INSERT INTO grading_jobs (session_id, job_type, job_data, priority)
	SELECT session_id, 'line_rating'::text, pg_catalog.jsonb_build_object(
		'transcript'::text, pg_catalog.jsonb_agg(
			-- An entry without an index of its own gets its place in the whole transcript.
			CASE WHEN jsonb_typeof(entry) = 'object'::text
			      AND coalesce(nullif(entry -> 'index'::text, 'null'::jsonb),
			                   nullif(entry -> 'line_number'::text, 'null'::jsonb)) IS NULL
			     THEN entry || pg_catalog.jsonb_build_object('index'::text, place - 1) ELSE entry END ORDER BY place),
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

-- Puts roles, privileges and policies as they should be, on those of our tables and functions that exist. May be called
-- again at any time by the owner of the tables: after a migration that makes a table, after a role was created. Tables
-- are locked in the order in which the daemon locks rows.
CREATE OR REPLACE FUNCTION grading_secure() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	tables constant text[] := ARRAY['grading_migrations', 'grading_jobs', 'phrase_cache', 'phrase_flights',
		'grading_sessions', 'line_ratings'];
	functions constant text[] := ARRAY['grading_uuid', 'grading_jobs_wake', 'grading_enqueue', 'grading_progress',
		'grading_ratings', 'grading_retry', 'grading_retry_many', 'grading_cancel', 'grading_may_read',
		'grading_secure'];
	-- Role, table or function, privileges.
	rights constant text[] := ARRAY[
		['gradingd_worker', 'grading_migrations', 'SELECT'],
		['gradingd_worker', 'grading_jobs', 'SELECT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_cache', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_flights', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_sessions', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'line_ratings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_progress', 'EXECUTE'],
		['gradingd_worker', 'grading_ratings', 'EXECUTE'],
		['gradingd_worker', 'grading_retry', 'EXECUTE'],
		['gradingd_worker', 'grading_retry_many', 'EXECUTE'],
		['gradingd_worker', 'grading_cancel', 'EXECUTE'],
		['grading_app', 'grading_migrations', 'SELECT'],
		['grading_app', 'grading_jobs',
		 'SELECT, INSERT (id, session_id, job_type, job_data, priority, available_at)'],
		['grading_app', 'grading_sessions', 'SELECT'],
		['grading_app', 'line_ratings', 'SELECT'],
		['grading_app', 'grading_uuid', 'EXECUTE'],
		['grading_app', 'grading_enqueue', 'EXECUTE'],
		['grading_app', 'grading_progress', 'EXECUTE'],
		['grading_app', 'grading_ratings', 'EXECUTE'],
		['grading_app', 'grading_retry', 'EXECUTE'],
		['grading_app', 'grading_retry_many', 'EXECUTE'],
		['grading_app', 'grading_cancel', 'EXECUTE'],
		['authenticated', 'grading_sessions', 'SELECT'],
		['authenticated', 'line_ratings', 'SELECT'],
		['authenticated', 'grading_progress', 'EXECUTE'],
		['authenticated', 'grading_ratings', 'EXECUTE'],
		['authenticated', 'grading_may_read', 'EXECUTE']];
	-- What a right on a table brought before functions were for some only: privilege, table, function.
	usual constant text[] := ARRAY[
		['INSERT', 'grading_jobs', 'grading_uuid'], ['INSERT', 'grading_jobs', 'grading_enqueue'],
		['SELECT', 'grading_sessions', 'grading_progress'], ['SELECT', 'line_ratings', 'grading_ratings'],
		['UPDATE', 'grading_jobs', 'grading_retry'], ['UPDATE', 'grading_jobs', 'grading_retry_many'],
		['UPDATE', 'grading_jobs', 'grading_cancel']];
	-- Those that act with the rights of their owner, so that a caller needs none on a table.
	trusted constant text[] := ARRAY['grading_enqueue', 'grading_retry', 'grading_retry_many', 'grading_cancel'];
	strangers constant text[] := ARRAY['anon', 'authenticated'];
	ours constant text[] := ARRAY['gradingd_worker', 'grading_app'];
	policies constant text[] := ARRAY['grading_worker', 'grading_app_select', 'grading_app_insert', 'grading_reader',
		'grading_kept'];
	-- Found by the path of whoever calls this. After that only pg_catalog's functions and operators are: where others may
	-- create some in our schema, they would be run with the rights of a superuser who was asked to call this.
	relations constant regclass[] := ARRAY(SELECT pg_catalog.to_regclass(t) FROM pg_catalog.unnest(tables) AS t);
	procedures constant regprocedure[] := ARRAY(SELECT p.oid FROM pg_catalog.pg_proc AS p
		WHERE p.proname OPERATOR(pg_catalog.=) ANY (functions) AND pg_catalog.pg_function_is_visible(p.oid));
	path constant text := (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s::text), ', '::text)
		FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s);
	path_before constant text := pg_catalog.current_setting('search_path'::text);
	jobs constant regclass := relations[2];
	sessions constant regclass := relations[5];
	present text[];
	name text;
	role text;
	policy text;
	item record;
	target text;
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
				WHEN duplicate_object OR unique_violation THEN NULL;	-- made for another database just now
				WHEN insufficient_privilege THEN
					RAISE NOTICE 'the role % was not created: % may not create roles', name, current_user
						USING HINT = 'Have it created, NOLOGIN; then: SELECT grading_secure();';
			END;
		END IF;
	END LOOP;
	present := ARRAY(SELECT rolname FROM pg_roles WHERE rolname = ANY(ours || strangers));

	FOREACH name IN ARRAY tables LOOP
		SELECT c.oid, c.relowner, c.relacl, c.relrowsecurity, n.nspname, pg_get_userbyid(c.relowner) AS owner
		INTO item FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = relations[array_position(tables, name)] AND c.relkind IN ('r', 'p');
		CONTINUE WHEN NOT FOUND;
		target := format('%I.%I', item.nspname, name);
		BEGIN
			-- Those who have a right on it keep it. Where security was on before, its policies say what they see.
			protected := item.relrowsecurity AND NOT EXISTS (
				SELECT FROM pg_policy WHERE polrelid = item.oid AND polname = 'grading_kept');
			SELECT string_agg(DISTINCT quote_ident(r.rolname), ', ') INTO kept
			FROM (SELECT item.relacl AS acl UNION ALL
			      SELECT attacl FROM pg_attribute WHERE attrelid = item.oid AND attacl IS NOT NULL) AS acls,
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
			FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = item.oid AND polname = ANY(policies) LOOP
				EXECUTE format('DROP POLICY %I ON %s', policy, target);
			END LOOP;

			IF 'gradingd_worker' = ANY(present) THEN
				EXECUTE format('CREATE POLICY grading_worker ON %s TO gradingd_worker USING (true)', target);
			END IF;
			IF 'grading_app' = ANY(present) AND name NOT LIKE 'phrase%' THEN
				EXECUTE format('CREATE POLICY grading_app_select ON %s FOR SELECT TO grading_app USING (true)',
				               target);
			END IF;
			IF 'grading_app' = ANY(present) AND name = 'grading_jobs' THEN
				EXECUTE format('CREATE POLICY grading_app_insert ON %s FOR INSERT TO grading_app'
				               ' WITH CHECK (true)', target);
			END IF;
			IF 'authenticated' = ANY(present) AND name IN ('grading_sessions', 'line_ratings') THEN
				EXECUTE format('CREATE POLICY grading_reader ON %s FOR SELECT TO authenticated'
				               ' USING (%s(session_id))', target, (SELECT p.oid::regproc FROM pg_proc p
				               WHERE p.oid = ANY(procedures) AND p.proname = 'grading_may_read'
				               AND p.pronargs = 1 AND p.proargtypes[0] = 'uuid'::regtype));
			END IF;
			IF kept IS NOT NULL AND NOT protected THEN
				EXECUTE format('CREATE POLICY grading_kept ON %s TO %s USING (true)', target, kept);
			END IF;
			FOR i IN 1 .. array_length(rights, 1) LOOP
				-- With policies of others on it, a right would be worth more than grading_may_read() says.
				IF rights[i][2] = name AND rights[i][1] = ANY(present)
				   AND NOT (rights[i][1] = ANY(strangers) AND others IS NOT NULL) THEN
					EXECUTE format('GRANT %s ON TABLE %s TO %I', rights[i][3], target, rights[i][1]);
				END IF;
			END LOOP;
			IF others IS NOT NULL THEN
				RAISE WARNING 'the table % has policies (%) for anon or authenticated, who no longer have any right on it',
					name, others USING HINT = 'Where they are meant, grant what they need anew.';
			END IF;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the table % is not secured: it belongs to %', name, item.owner
				USING HINT = format('As %I or a superuser: SELECT grading_secure();', item.owner);
		END;
	END LOOP;

	FOR item IN
		SELECT p.oid, p.proname, p.oid::regprocedure AS target, p.proowner, p.proacl FROM pg_proc p
		WHERE p.oid = ANY(procedures)
	LOOP
		BEGIN
			-- One of the same name with other arguments may be anybody's.
			IF pg_get_userbyid(item.proowner) <> current_user AND NOT EXISTS (SELECT FROM pg_class
			   WHERE oid = ANY(relations) AND relowner = item.proowner) THEN
				RAISE insufficient_privilege;
			END IF;
			EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.target);
			FOREACH role IN ARRAY present LOOP
				EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', item.target, role);
			END LOOP;
			FOR i IN 1 .. array_length(rights, 1) LOOP
				IF rights[i][2] = item.proname AND rights[i][1] = ANY(present) THEN
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.target, rights[i][1]);
				END IF;
			END LOOP;
			FOR i IN 1 .. array_length(usual, 1) LOOP
				CONTINUE WHEN usual[i][3] <> item.proname;
				FOR role IN
					SELECT DISTINCT r.rolname FROM (
						SELECT relacl AS acl FROM pg_class WHERE oid = relations[array_position(tables, usual[i][2])]
						UNION ALL
						SELECT attacl FROM pg_attribute
						WHERE attrelid = relations[array_position(tables, usual[i][2])]) AS acls,
						aclexplode(acl) AS a JOIN pg_roles r ON r.oid = a.grantee
					WHERE a.privilege_type = usual[i][1] AND r.rolname <> ALL(ours || strangers)
				LOOP
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.target, role);
				END LOOP;
			END LOOP;
			-- The path of whoever calls this, for what the application's triggers name; temporary tables last.
			IF item.proname = ANY(trusted || ARRAY['grading_progress', 'grading_ratings']) THEN
				EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %s, pg_temp', item.target, path);
			END IF;
			-- The triggers of a table's owner run with its rights, so it must be his: he who migrated has more, perhaps.
			IF item.proname = ANY(trusted) THEN
				EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER', item.target);
				SELECT pg_get_userbyid(relowner) INTO role FROM pg_class WHERE oid = jobs;
				BEGIN
					IF EXISTS (SELECT FROM pg_class WHERE oid = sessions AND relowner = item.proowner) THEN
						EXECUTE format('ALTER TABLE %s OWNER TO %I', sessions, role);
					END IF;
					IF EXISTS (SELECT FROM pg_class WHERE oid = sessions AND pg_get_userbyid(relowner) <> role) THEN
						RAISE insufficient_privilege;
					END IF;
					EXECUTE format('ALTER FUNCTION %s OWNER TO %I', item.target, role);
					EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', item.target);
				EXCEPTION WHEN insufficient_privilege THEN
					RAISE WARNING '%() works for those alone who may write to the tables themselves:'
						' it, grading_jobs and grading_sessions do not all belong to %', item.proname, role
						USING HINT = 'As a superuser: SELECT grading_secure();';
				END;
			END IF;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING 'the function % is not secured: it belongs to %', item.proname,
				pg_get_userbyid(item.proowner);
		END;
	END LOOP;

	-- In public everybody may look things up; in a schema of one's own nobody else may.
	FOR name, role IN
		SELECT DISTINCT n.nspname, r FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(present) AS r
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

COMMENT ON FUNCTION grading_secure() IS 'roles, privileges and policies as they should be; harmless to call again';
COMMENT ON FUNCTION grading_may_read(uuid) IS
	'whether the user who asks may read the session''s ratings; replace it, it says no';

DO $$ BEGIN PERFORM grading_secure(); END $$;

INSERT INTO grading_migrations (version, name) VALUES (89, '089_security.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
