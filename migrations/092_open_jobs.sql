-- 092: a session is not over while one of its jobs is open. gradingctl: statement by statement
--
-- An application that inserts its rows one by one, without totalBatches, does not say how many there will be. A session's
-- counters know what was settled, so grading_progress() said "completed" whenever nothing but the settled jobs had
-- been there, and still did when the next row waited or was being rated. Now it looks into the queue as well.

SET lock_timeout = '5s';
SET client_min_messages = warning;

-- Columns of these names that an application had made without a default: claims find no row where one is NULL.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'grading_jobs'::regclass
	           AND attname IN ('priority', 'available_at') AND NOT atthasdef) THEN
		ALTER TABLE grading_jobs ALTER COLUMN priority SET DEFAULT 0, ALTER COLUMN available_at SET DEFAULT now();
		UPDATE grading_jobs SET priority = coalesce(priority, 0), available_at = coalesce(available_at, created_at, now())
		WHERE status = 'pending' AND (priority IS NULL OR available_at IS NULL);
	END IF;
END $$;

-- An index left invalid by an interrupted build is dropped first, as in 086.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('grading_jobs_open') AND NOT indisvalid) THEN
		DROP INDEX grading_jobs_open;
	END IF;
END $$;

-- A session's open jobs, for which each poll of a front end asks; finished rows cost nothing. IS TRUE hides from the
-- planner that pending jobs are all in it: for want of statistics it would have claims read it instead of their own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS grading_jobs_open
	ON grading_jobs (session_id) WHERE (status::text = 'pending'::text OR status::text = 'processing'::text) IS TRUE;

-- How many jobs of a session wait or are being rated. With the rights of its owner (grading_secure(), below), because who
-- may see a session's progress need not see the queue; of other sessions a user learns nothing. 089 says why literals are
-- written out.
CREATE OR REPLACE FUNCTION grading_open_jobs(session_id uuid) RETURNS integer
LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.count(*)::integer FROM grading_jobs g
	WHERE g.session_id = grading_open_jobs.session_id
	  AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text) IS TRUE	-- as the index says it
	  AND (pg_catalog.has_table_privilege(
	           coalesce(nullif(pg_catalog.current_setting('role'::text), 'none'::text), session_user::text)::name,
	           'grading_jobs'::regclass::oid, 'SELECT'::text)
	       OR grading_may_read(g.session_id))	-- else it would tell what row-level security hides
$$;

-- As 085 has it, but with a look into the queue, in the same snapshot as the counters: over is what has no open job, and
-- there are at least as many batches as are settled or open. Plain rows that nobody has claimed yet make a session, too.
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
	                round(extract(epoch FROM clock_timestamp() - s.started_at) * (p.total - p.done) / p.done, 1) END,
	       s.started_at, s.first_rated_at, CASE WHEN p.open = 0 THEN s.completed_at END
	FROM grading_sessions s
	CROSS JOIN LATERAL (SELECT s.status IN ('completed', 'failed') AS counted,
		s.completed_batches + s.failed_batches AS done,
		grading_open_jobs(s.session_id) AS open OFFSET 0) AS q	-- asked once, not wherever it is named
	CROSS JOIN LATERAL (SELECT q.*, greatest(s.total_batches, q.done + q.open) AS total) AS p
	WHERE s.session_id = grading_progress.session_id
	UNION ALL
	SELECT 'queued', 0, 0, o.open, 0, 0, 0, NULL, NULL, NULL, NULL
	FROM (SELECT grading_open_jobs(grading_progress.session_id) AS open OFFSET 0) AS o
	WHERE o.open > 0 AND NOT EXISTS (SELECT FROM grading_sessions n WHERE n.session_id = grading_progress.session_id)
$$;

-- grading_secure() as 089 has it, but with grading_open_jobs().
CREATE OR REPLACE FUNCTION grading_secure() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	tables constant text[] := ARRAY['grading_migrations', 'grading_jobs', 'phrase_cache', 'phrase_flights',
		'grading_sessions', 'line_ratings'];
	functions constant text[] := ARRAY['grading_uuid', 'grading_jobs_wake', 'grading_enqueue', 'grading_progress',
		'grading_ratings', 'grading_retry', 'grading_retry_many', 'grading_cancel', 'grading_may_read',
		'grading_open_jobs', 'grading_secure'];
	-- Role, table or function, privileges.
	rights constant text[] := ARRAY[
		['gradingd_worker', 'grading_migrations', 'SELECT'],
		['gradingd_worker', 'grading_jobs', 'SELECT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_cache', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'phrase_flights', 'SELECT, INSERT, UPDATE, DELETE'],
		['gradingd_worker', 'grading_sessions', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'line_ratings', 'SELECT, INSERT, UPDATE'],
		['gradingd_worker', 'grading_progress', 'EXECUTE'],
		['gradingd_worker', 'grading_open_jobs', 'EXECUTE'],
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
		['grading_app', 'grading_open_jobs', 'EXECUTE'],
		['grading_app', 'grading_ratings', 'EXECUTE'],
		['grading_app', 'grading_retry', 'EXECUTE'],
		['grading_app', 'grading_retry_many', 'EXECUTE'],
		['grading_app', 'grading_cancel', 'EXECUTE'],
		['authenticated', 'grading_sessions', 'SELECT'],
		['authenticated', 'line_ratings', 'SELECT'],
		['authenticated', 'grading_progress', 'EXECUTE'],
		['authenticated', 'grading_open_jobs', 'EXECUTE'],
		['authenticated', 'grading_ratings', 'EXECUTE'],
		['authenticated', 'grading_may_read', 'EXECUTE']];
	-- What a right on a table brought before functions were for some only: privilege, table, function.
	usual constant text[] := ARRAY[
		['INSERT', 'grading_jobs', 'grading_uuid'], ['INSERT', 'grading_jobs', 'grading_enqueue'],
		['SELECT', 'grading_sessions', 'grading_progress'], ['SELECT', 'grading_sessions', 'grading_open_jobs'],
		['SELECT', 'line_ratings', 'grading_ratings'],
		['UPDATE', 'grading_jobs', 'grading_retry'], ['UPDATE', 'grading_jobs', 'grading_retry_many'],
		['UPDATE', 'grading_jobs', 'grading_cancel']];
	-- Those that act with the rights of their owner, so that a caller needs none on a table.
	trusted constant text[] := ARRAY['grading_enqueue', 'grading_retry', 'grading_retry_many', 'grading_cancel',
		'grading_open_jobs'];
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

COMMENT ON FUNCTION grading_open_jobs(uuid) IS 'how many jobs of the session wait or are being rated';
COMMENT ON FUNCTION grading_progress(uuid) IS
	'how far a session is; over when none of its jobs is open, however many rows are still to come';

SET client_min_messages = error;	-- what could not be secured, 089 has said
DO $$ BEGIN PERFORM grading_secure(); END $$;

INSERT INTO grading_migrations (version, name) VALUES (92, '092_open_jobs.sql') ON CONFLICT DO NOTHING;

RESET lock_timeout;
RESET client_min_messages;
