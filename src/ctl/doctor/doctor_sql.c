/*
 * The checks of gradingctl doctor that the database can make by itself: what it finds and what to
 * do are told by the statement. No statement writes anything, waits for a lock on a table or reads
 * a table of ours as a whole.
 */
#include "doctor_sql.h"

/* All tables of ours that any release has; those that are not there are passed over. */
#define OURS \
	"ours AS (SELECT c.* FROM pg_catalog.unnest(ARRAY['grading_migrations', 'grading_jobs'," \
	"    'phrase_cache', 'phrase_flights', 'grading_sessions', 'line_ratings'," \
	"    'grading_provenance', 'grading_settings', 'grading_channels', 'grading_mirrors'," \
	"    'grading_webhooks', 'grading_webhook_outbox'," \
	"    'session_gradings', 'grading_tenants']) AS name" \
	"  JOIN pg_class c ON c.oid = to_regclass(name)::oid)"

/* Half of an "open since" is nothing an operator wants to read. */
#define SINCE(seconds) "justify_interval(make_interval(secs => round(" seconds ")))"

static const char server_sql[] =
	"SELECT CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
	"    OR current_setting('server_version_num')::int < 140000 THEN 'error' ELSE 'ok' END,"
	"  pg_catalog.format('PostgreSQL %s, database %s, as %s%s',"
	"    split_part(current_setting('server_version'), ' ', 1),"
	"    current_database(), current_user,"
	"    CASE WHEN pg_is_in_recovery() THEN '; a standby, nothing can be written here'"
	"      WHEN current_setting('transaction_read_only')::bool THEN '; read-only' ELSE '' END),"
	"  CASE WHEN pg_is_in_recovery() THEN"
	"    'name all hosts in database.conninfo, with target_session_attrs=read-write'"
	"    WHEN current_setting('transaction_read_only')::bool"
	"      THEN 'see default_transaction_read_only'"
	"    WHEN current_setting('server_version_num')::int < 140000"
	"      THEN 'PostgreSQL 14 or newer is needed' END";

static const char horizon_sql[] =
	"WITH pin AS ("
	"  SELECT greatest(age(backend_xmin), age(backend_xid)) AS xids,"
	"    extract(epoch FROM now() - xact_start) AS seconds,"
	"    usesysid IS NOT NULL AND NOT pg_has_role(usesysid, 'USAGE'::text)"
	"      AND NOT pg_has_role('pg_read_all_stats'::name, 'USAGE'::text) AS hidden,"
	"    pg_catalog.format('a transaction of pid %s, user %s, application %s, %s', pid,"
	"      coalesce(usename, '?'), coalesce(nullif(application_name, ''), '?'),"
	"      coalesce(state, backend_type, 'state hidden')) AS who,"
	"    pg_catalog.format('SELECT pg_terminate_backend(%s);"
	" or idle_in_transaction_session_timeout, for next time', pid) AS advice"
	"  FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
	"    AND backend_type IS DISTINCT FROM 'autovacuum worker'"
	"    AND (datname = current_database() OR backend_type = 'walsender')"
	"  UNION ALL"
	"  SELECT age(transaction), extract(epoch FROM now() - prepared), false,"
	"    pg_catalog.format('the prepared transaction %L of user %s', gid, owner),"
	"    pg_catalog.format('COMMIT PREPARED %L; or ROLLBACK PREPARED', gid)"
	"  FROM pg_prepared_xacts WHERE database = current_database()"
	"  UNION ALL"
	"  SELECT age(xmin), NULL, false, pg_catalog.format('the replication slot %s%s', slot_name,"
	"      CASE WHEN active THEN '' ELSE ', which nobody uses' END),"
	"    pg_catalog.format('see to its standby, or SELECT pg_drop_replication_slot(%L)',"
	" slot_name)"
	"  FROM pg_replication_slots WHERE xmin IS NOT NULL"
	"), long AS ("
	"SELECT CASE WHEN seconds >= 3600::numeric OR xids >= 5000000 THEN 'error' ELSE"
	" 'warning' END,"
	"  pg_catalog.format('%s has kept dead rows from going for %s%s transactions', who,"
	"    " SINCE("seconds") "::text || ' and '::text, xids), advice"
	" FROM pin WHERE xids IS NOT NULL AND (seconds >= 300::numeric OR xids >= 50000)"
	" ORDER BY xids DESC, seconds DESC LIMIT 3)"
	"SELECT * FROM long UNION ALL"
	" SELECT 'ok', pg_catalog.format('%s transactions of other roles are open; for how long"
	" is hidden from %s', count(*), current_user),"
	"  pg_catalog.format('GRANT pg_read_all_stats TO %I, to have it looked at', current_user)"
	" FROM pin WHERE hidden AND xids >= 1000 AND NOT EXISTS (SELECT FROM long)"
	"   HAVING count(*) > 0";

static const char slots_sql[] =
	"SELECT 'warning', pg_catalog.format('nobody uses the replication slot %s, for which the"
	" server keeps %s of WAL', slot_name,"
	"    pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn))),"
	"  pg_catalog.format('see to its standby, or SELECT pg_drop_replication_slot(%L)',"
	" slot_name) FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL"
	"   ORDER BY restart_lsn LIMIT 3";

/* A commit waits for it without end; statement_timeout is over by then. */
static const char standby_sql[] =
	"SELECT 'error', pg_catalog.format('%s transactions wait for a synchronous standby that"
	" does not confirm"
	" them (SyncRep), one for %s; synchronous_standby_names is %L, %s such standbys are"
	" connected', count(*), " SINCE("extract(epoch FROM max(now() - query_start))") ","
	"    current_setting('synchronous_standby_names'), (SELECT count(*)"
	"      FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))),"
	"  'bring the standby back, or take it out of synchronous_standby_names and reload'"
	" FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
	"   AND now() - query_start > interval '2 s' HAVING count(*) > 0";

static const char dead_sql[] =
	"WITH " OURS
	" SELECT 'warning', pg_catalog.format('%s has %s dead rows beside %s live ones; vacuumed"
	" last: %s',"
	"   o.relname, s.n_dead_tup,"
	"    s.n_live_tup, coalesce(to_char(greatest(s.last_vacuum, s.last_autovacuum),"
	"      'YYYY-MM-DD HH24:MI'), 'never')),"
	"  pg_catalog.format('VACUUM (ANALYZE) %s; if they stay, see \"horizon\"', o.relname)"
	" FROM ours o JOIN pg_stat_all_tables s ON s.relid = o.oid"
	" WHERE s.n_dead_tup > 20000 AND s.n_dead_tup > s.n_live_tup / 4"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('autovacuum is off for %s', o.relname),"
	"  pg_catalog.format('ALTER TABLE %s RESET (autovacuum_enabled)', o.relname)"
	" FROM ours o WHERE EXISTS (SELECT FROM pg_options_to_table(o.reloptions)"
	"   WHERE option_name = 'autovacuum_enabled' AND NOT option_value::bool)"
	" UNION ALL"
	" SELECT 'warning', 'autovacuum is off',"
	"   'ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()'"
	" WHERE NOT current_setting('autovacuum')::bool";

/*
 * Row-level security where it is on and no policy is for us shows an empty queue, without an error.
 * The second to the fourth are Supabase's roles: what they may do, everybody may who has the public
 * key.
 */
static const char rights_sql[] =
	"WITH " OURS ", stranger AS ("
	"  SELECT oid, rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated')"
	"), allowed AS ("
	"  SELECT o.relname, r.rolname, pg_catalog.string_agg(p, ', ') AS rights"
	"    FROM ours o CROSS JOIN stranger r"
	"    CROSS JOIN pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE',"
	" 'TRUNCATE']) AS p"
	"  WHERE (has_table_privilege(r.oid, o.oid, p) OR p IN ('SELECT', 'INSERT', 'UPDATE')"
	"      AND has_any_column_privilege(r.oid, o.oid, p))"
	"    AND NOT (p = 'SELECT' AND r.rolname = 'authenticated' AND o.relrowsecurity"
	"      AND o.relname IN ('grading_sessions', 'line_ratings', 'grading_provenance',"
	"        'session_gradings'))"
	"  GROUP BY 1, 2"
	")"
	"SELECT 'error', pg_catalog.format('%s sees no row of %s: row-level security is on, and"
	" no policy is for it', current_user,"
	"    pg_catalog.string_agg(o.relname, ', ')), pg_catalog.format('GRANT gradingd_worker"
	" TO %I (for a daemon), or grading_app', current_user)"
	" FROM ours o WHERE row_security_active(o.oid) AND NOT EXISTS (SELECT FROM pg_policy"
	"   WHERE polrelid = o.oid"
	"   AND polcmd IN ('*', 'r') AND EXISTS (SELECT FROM pg_catalog.unnest(polroles) AS role"
	"     WHERE role = 0::oid OR pg_has_role(current_user, role, 'USAGE'::text)))"
	"   AND has_table_privilege(o.oid, 'SELECT'::text)"
	" HAVING count(*) > 0"
	" UNION ALL"
	" SELECT CASE WHEN EXISTS (SELECT FROM stranger) THEN 'error' ELSE 'warning' END,"
	"  pg_catalog.format('row-level security is off for %s', pg_catalog.string_agg(relname,"
	" ', ')),"
	"  'as the owner of the tables: SELECT grading_secure()'"
	" FROM ours WHERE NOT relrowsecurity HAVING count(*) > 0"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('%s has %s on %s', rolname, rights, relname),"
	"  'unless that is meant, as the owner of the tables: SELECT grading_secure()' FROM allowed"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('the policy %s on %s shows %s more than"
	" grading_may_read() says',"
	"   pol.polname, o.relname, r.rolname),"
	"  'drop it, or as the owner of the tables: SELECT grading_secure()'"
	" FROM ours o JOIN pg_policy pol ON pol.polrelid = o.oid"
	"   JOIN stranger r ON pol.polroles OPERATOR(pg_catalog.&&) ARRAY[0::oid, r.oid]"
	" WHERE pol.polpermissive AND NOT starts_with(pol.polname::text, 'grading_'::text)"
	"   AND has_table_privilege(r.oid, o.oid, 'SELECT'::text)"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('%s may call %s', r.rolname,"
	"    pg_catalog.string_agg(DISTINCT p.proname, ', ')),"
	"  'unless that is meant, as its owner: SELECT grading_secure()'"
	" FROM stranger r CROSS JOIN pg_proc p"
	" WHERE p.proname IN ('grading_submit', 'grading_enqueue', 'grading_recount',"
	"    'grading_recount_many', 'grading_put_back', 'grading_retry', 'grading_retry_many',"
	"    'grading_cancel', 'grading_forget', 'grading_forget_many', 'grading_count',"
	"    'grading_drop_phrase', 'grading_secure')"
	"  AND pg_function_is_visible(p.oid) AND has_function_privilege(r.oid, p.oid,"
	" 'EXECUTE'::text) GROUP BY r.rolname"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('there is no role %s to grant to a daemon, an"
	" application or a reader',"
	"   pg_catalog.string_agg(name, ' or ')),"
	"  'SELECT grading_secure(), as a superuser, makes it; needed only where others than the"
	" owner of the tables connect'"
	" FROM pg_catalog.unnest(ARRAY['gradingd_worker', 'grading_app',"
	" 'grading_reader']) AS name"
	" WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) HAVING count(*) > 0"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('%s may create functions and operators in the"
	" schema %s, where"
	" gradingd and applications look for theirs', pg_catalog.string_agg(DISTINCT CASE a.grantee"
	"    WHEN 0::oid THEN 'everybody' ELSE pg_get_userbyid(a.grantee)::text END, ', '),"
	"    n.nspname), pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM each of them; or"
	" keep the tables in a schema of their own', n.nspname)"
	" FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n'::\"char\","
	" n.nspowner))) AS a"
	" WHERE n.oid IN (SELECT relnamespace FROM ours) AND a.privilege_type = 'CREATE'"
	"  AND a.grantee <> n.nspowner AND a.grantee NOT IN (SELECT relowner FROM ours)"
	"  AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.grantee AND r.rolsuper)"
	" GROUP BY n.nspname";

/*
 * What the migrations make and no later one drops: their text, without its comments, is the only
 * list. Each that is named is the last one to make it; those after it may have changed what an
 * earlier one makes again.
 */
#define MIGRATIONS \
	"migration AS (SELECT file, regexp_replace(text, '--.*', '', 'gn') AS text, place" \
	"  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m(file, text, place))"
#define MADE(kind) \
	MIGRATIONS ", made AS (SELECT m.name[1] AS name," \
	"   (pg_catalog.array_agg(file ORDER BY place DESC))[1] AS file FROM migration," \
	"  regexp_matches(text, 'CREATE (?:OR REPLACE )?" kind \
	" (?:CONCURRENTLY )?(?:IF NOT EXISTS )?([a-z_]+)', 'g') AS m(name)" \
	"  WHERE NOT EXISTS (SELECT FROM migration AS later WHERE later.place > migration.place" \
	"    AND later.text ~ pg_catalog.format('DROP " kind " [^;]*[[:<:]]%s[[:>:]]'," \
	" m.name[1]))" \
	"  GROUP BY 1)"
#define AGAIN \
	"pg_catalog.format('apply %s and those after it again, in order, with psql -f: they make" \
	" what is" \
	" missing', file)"

/* What functions.sql makes has its text, unless a newer release was here. */
static const char functions_sql[] =
	"WITH " MADE("FUNCTION") ", present AS ("
	"  SELECT proname, prosrc FROM pg_proc WHERE pg_function_is_visible(oid)"
	"    AND proname IN (SELECT name FROM made)"
	"), ours AS ("
	"  SELECT ($2::text[])[pg_catalog.cardinality($2::text[])] AS text,"
	"    (SELECT max(substring(file FROM '^[0-9]+')::int) FROM migration)"
	"      >= (SELECT max(version) FROM grading_migrations) AS newest"
	")"
	"SELECT 'error', pg_catalog.format('the function %s() is missing', name), " AGAIN
	" FROM made WHERE name NOT IN (SELECT proname FROM present)"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('the function %s() is not that of this release', name),"
	"  'gradingctl migrate; where that finds nothing to do, apply functions.sql with psql -f'"
	" FROM made CROSS JOIN ours WHERE newest AND file = 'functions.sql'"
	"  AND name IN (SELECT proname FROM present)"
	"  AND NOT EXISTS (SELECT FROM present WHERE proname = name AND strpos(text, prosrc) > 0)";

/* Jobs are found all the same, but late. */
static const char triggers_sql[] =
	"WITH " OURS ", " MADE("TRIGGER")
	"SELECT 'warning',"
	"  pg_catalog.format('the trigger %s is %s: new jobs wait for a poll (queue.poll)', name,"
	"    CASE WHEN t.oid IS NULL THEN 'missing' ELSE 'disabled' END),"
	"  CASE WHEN t.oid IS NULL THEN " AGAIN
	"    ELSE pg_catalog.format('ALTER TABLE %s ENABLE TRIGGER %s', t.tgrelid::regclass,"
	" name) END"
	" FROM made LEFT JOIN pg_trigger t ON tgname = name AND tgrelid IN (SELECT oid FROM ours)"
	" WHERE name NOT IN ('grading_jobs_place', 'grading_jobs_keep_place',"
	"   'grading_jobs_band', 'grading_jobs_tenant')"
	"  AND (t.oid IS NULL OR tgenabled NOT IN ('O', 'A'))"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('the trigger %s of phrase_cache is %s: phrases that"
	" are deleted there %s', p.name, CASE WHEN t.oid IS NULL THEN 'missing' ELSE 'disabled' END,"
	"   p.harm), CASE WHEN t.oid IS NULL THEN 'as the owner of phrase_cache:"
	" SELECT grading_follow_phrase_cache()' ELSE pg_catalog.format('ALTER TABLE %s ENABLE"
	" TRIGGER %s', t.tgrelid::regclass, p.name) END"
	" FROM (VALUES ('grading_phrases_gone', 'stay under other keys', true),"
	"   ('grading_phrases_new', 'by the application''s own keys are not found',"
	"    to_regclass('live_sessions'::text) IS NOT NULL)) AS p(name, harm, wanted)"
	" LEFT JOIN pg_trigger t ON tgname = p.name::name AND tgrelid IN (SELECT oid FROM ours)"
	" WHERE p.wanted AND to_regclass('phrase_cache'::text) IS NOT NULL"
	"  AND (t.oid IS NULL OR tgenabled NOT IN ('O', 'A'))";

/*
 * In an adopted table the columns that say a job's place in the order of claims may be NULL. The
 * index of claims has such rows at its ends: few are looked at.
 */
static const char places_sql[] =
	"SELECT 'error', pg_catalog.format('%s jobs or more are pending without a priority or an"
	" available_at: nobody claims them', count(*)),"
	"  'UPDATE grading_jobs SET priority = coalesce(priority, 0),"
	" available_at = coalesce(available_at, now()) WHERE status = ''pending''"
	" AND (priority IS NULL OR available_at IS NULL)'"
	" FROM ((SELECT 1 FROM grading_jobs WHERE status::text = 'pending' AND priority IS NULL"
	"    LIMIT 1000)"
	"  UNION ALL (SELECT 1 FROM (SELECT available_at FROM grading_jobs"
	"      WHERE status::text = 'pending' AND priority IS NOT NULL"
	"      ORDER BY priority, turn, available_at DESC, id DESC LIMIT 1000) AS last"
	"    WHERE available_at IS NULL)) AS homeless"
	" HAVING count(*) > 0"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('%s of grading_jobs may be NULL, and no trigger %s"
	" sees to it: a job %s so is never claimed',"
	"    pg_catalog.string_agg(attname, ' and ' ORDER BY attname DESC), name, done),"
	"  pg_catalog.format('apply %s again, with psql -f', file)"
	" FROM pg_attribute, (VALUES ('grading_jobs_place', 'inserted', '095_places.sql'),"
	"    ('grading_jobs_keep_place', 'updated', '096_kept_places.sql')) AS t(name, done, file)"
	" WHERE attrelid = 'grading_jobs'::regclass::oid AND NOT attnotnull"
	"  AND attname IN ('priority', 'available_at') AND NOT EXISTS (SELECT FROM pg_trigger"
	"    WHERE tgrelid = attrelid AND tgname = name AND tgenabled IN ('O', 'A'))"
	" GROUP BY name, done, file";

/*
 * An application's row names three columns and relies on the others' defaults, in an adopted table
 * as well.
 */
static const char defaults_sql[] =
	"WITH " MIGRATIONS ", wanted AS ("
	" SELECT DISTINCT ON (1) d.words[1] AS name, d.words[2] AS expression FROM migration,"
	"  regexp_matches(text, 'ALTER TABLE grading_jobs[^;]*', 'g') AS s(statement),"
	"  regexp_matches(statement[1],"
	"    'COLUMN (?:IF NOT EXISTS )?([a-z_]+)[^,]* DEFAULT ([^,]+)', 'g') AS d(words)"
	" ORDER BY 1, place DESC)"
	"SELECT 'error', pg_catalog.format('the column %s of grading_jobs has no default: plain"
	" rows are refused, or never claimed', name),"
	"  pg_catalog.format('ALTER TABLE grading_jobs ALTER COLUMN %s SET DEFAULT %s', name,"
	" expression)"
	" FROM wanted JOIN pg_attribute a ON attrelid = to_regclass('grading_jobs'::text)::oid"
	"   AND attname = name"
	" WHERE NOT atthasdef AND attidentity = ''"
	"   AND name NOT IN ('session_id', 'job_type', 'job_data')";

/*
 * The numbers of claims and cursors. Without the right to draw them the daemon claims or stores
 * nothing, and applications insert nothing; where rows get others, results of a row that is gone
 * may be stored for the one that came instead.
 */
static const char numbers_sql[] =
	"WITH " MADE("SEQUENCE") ", present AS ("
	"  SELECT c.relname, c.oid, EXISTS (SELECT"
	"      FROM aclexplode(coalesce(c.relacl, acldefault('s'::\"char\", c.relowner))) AS a"
	"      WHERE a.grantee = 0::oid AND a.privilege_type = 'USAGE') AS for_all"
	"  FROM pg_class c WHERE c.relkind = 'S' AND c.oid IN (SELECT to_regclass(name)::oid FROM made)"
	"), drawn AS ("
	"  SELECT relname, s.*, s.seqincrement AS step, CASE relname WHEN 'grading_cursors' THEN 64"
	"      ELSE 1 END::bigint AS wanted,"
	"    CASE WHEN has_sequence_privilege(oid, 'USAGE, SELECT'::text)"
	"      THEN coalesce(pg_sequence_last_value(oid), seqstart) END AS last,"
	"    CASE relname WHEN 'grading_cursors' THEN"
	"      greatest((SELECT max(seq) FROM (SELECT seq FROM line_ratings LIMIT 10000) AS r)"
	"        - 63::bigint, 1099511627776)"
	"      ELSE greatest((SELECT max(claim) FROM grading_jobs WHERE status::text = 'processing'),"
	"        (SELECT max(claim) FROM (SELECT claim FROM grading_jobs LIMIT 10000) AS g),"
	"        1099511627776) END AS used"
	"  FROM present JOIN pg_sequence s ON s.seqrelid = oid)"
	"SELECT 'error', pg_catalog.format('the sequence %s is missing', name), " AGAIN
	" FROM made WHERE name NOT IN (SELECT relname FROM present)"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('%s may not draw numbers from the sequence %s',"
	" current_user,"
	"   relname), 'as the owner of the tables: SELECT grading_secure()'"
	" FROM present WHERE NOT has_sequence_privilege(oid, 'USAGE'::text)"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('not everybody may draw numbers from the sequence"
	" %s: who has no"
	" right to is refused, of an application each job that it inserts', relname),"
	"  'as the owner of the tables: SELECT grading_secure()'"
	" FROM present WHERE NOT for_all AND has_sequence_privilege(oid, 'USAGE'::text)"
	" UNION ALL"
	" SELECT 'error', pg_catalog.format('the sequence %s %s', relname, wrong[1]),"
	"  pg_catalog.format(wrong[2], relname)"
	" FROM drawn CROSS JOIN LATERAL (VALUES"
	"   (CASE WHEN step <> wanted AND (wanted > 1::bigint OR step < 1::bigint) THEN ARRAY["
	"     pg_catalog.format('goes on by %s, not by %s', step, wanted),"
	"     pg_catalog.format('ALTER SEQUENCE %%s INCREMENT %s', wanted)] END),"
	"   (CASE WHEN seqcycle THEN ARRAY['begins again at its end',"
	"     'ALTER SEQUENCE %s NO CYCLE'] END),"
	"   (CASE WHEN seqcache > 1::bigint AND wanted > 1::bigint THEN ARRAY["
	"     'gives each connection numbers in advance: readers of grading_ratings() miss those that come late',"
	"     'ALTER SEQUENCE %s CACHE 1'] END),"
	"   (CASE WHEN last < used THEN ARRAY["
	"     pg_catalog.format('stands at %s, below %s, which is in use', last, used),"
	"     pg_catalog.format('SELECT setval(''%%s'', %s)', used + wanted)] END),"
	"   (CASE WHEN seqmax < 9007199254740992::bigint THEN ARRAY["
	"     pg_catalog.format('ends at %s', seqmax),"
	"     'ALTER SEQUENCE %s NO MAXVALUE'] END)) AS w(wrong)"
	" WHERE wrong IS NOT NULL"
	" UNION ALL"
	" SELECT 'error', 'new rows of grading_jobs get no number of their own for claim',"
	"  'ALTER TABLE grading_jobs ALTER COLUMN claim SET DEFAULT nextval(''grading_claims'')'"
	" FROM pg_attribute a LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum"
	" WHERE attrelid = to_regclass('grading_jobs'::text)::oid AND attname = 'claim'"
	"  AND to_regclass('grading_claims'::text) IS NOT NULL"
	"  AND NOT coalesce(pg_get_expr(adbin, adrelid) LIKE 'nextval(%grading_claims%', false)";

/*
 * What the daemon relies upon to store nothing twice; a table that an application made may have
 * come without.
 */
#define UNIQUE_KEYS \
	"('grading_jobs', 'id'), ('phrase_cache', 'cache_key'), ('phrase_flights', 'cache_key')," \
	" ('grading_sessions', 'session_id'), ('line_ratings', 'session_id, line_index')," \
	" ('grading_provenance', 'id'), ('session_gradings', 'session_id')"

static const char indexes_sql[] =
	"WITH " OURS ", " MADE("INDEX") ", state AS ("
	"  SELECT name, file, i.indexrelid IS NULL AS missing,"
	"    p.index_relid IS NOT NULL AS building"
	"  FROM made LEFT JOIN pg_index i ON i.indexrelid = to_regclass(name)::oid"
	"    LEFT JOIN pg_stat_progress_create_index p ON p.index_relid = i.indexrelid"
	"  WHERE i.indisvalid IS NOT TRUE OR i.indisready IS NOT TRUE)"
	"SELECT CASE WHEN building THEN 'warning' ELSE 'error' END,"
	"  pg_catalog.format('the index %s is %s', name, CASE WHEN missing THEN 'missing'"
	"    WHEN building THEN 'being built' ELSE 'invalid' END),"
	"  CASE WHEN NOT building THEN " AGAIN " END"
	" FROM state"
	" UNION ALL SELECT 'error', pg_catalog.format('the index %s of %s is invalid',"
	"   i.indexrelid::regclass, i.indrelid::regclass),"
	"  pg_catalog.format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass)"
	" FROM pg_index i WHERE NOT i.indisvalid AND i.indrelid IN (SELECT oid FROM ours)"
	"  AND i.indexrelid NOT IN (SELECT to_regclass(name)::oid FROM made"
	"    WHERE to_regclass(name) IS NOT NULL)"
	"  AND i.indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)"
	" UNION ALL SELECT 'error', pg_catalog.format('no unique index keeps %s from having two"
	" rows of one %s', tab, key),"
	"  pg_catalog.format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (%s)', tab, key)"
	" FROM (VALUES " UNIQUE_KEYS ") AS k(tab, key)"
	" WHERE to_regclass(tab) IS NOT NULL AND NOT EXISTS ("
	"  SELECT FROM pg_index i WHERE i.indrelid = to_regclass(tab)::oid"
	"    AND i.indisunique AND i.indisvalid AND i.indimmediate"
	"   AND i.indpred IS NULL AND i.indexprs IS NULL AND string_to_array(key, ', ')"
	"     OPERATOR(pg_catalog.=) ARRAY("
	"    SELECT a.attname::text"
	"     FROM pg_catalog.unnest(i.indkey[:i.indnkeyatts - 1]) WITH ORDINALITY AS c(attnum,"
	" place)"
	"     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = c.attnum"
	"       ORDER BY c.place))";

/*
 * Sessions that nothing will ever move again: none of their jobs is open, and their counters wait
 * for more. Only what moved last is looked at where there are very many that wait.
 */
static const char sessions_sql[] =
	"WITH waiting AS ("
	"  SELECT session_id, updated_at FROM ("
	"    SELECT session_id, updated_at, status FROM grading_sessions"
	"    WHERE updated_at < now() - interval '1 minute' LIMIT 200000) s"
	"  WHERE status IN ('queued', 'processing') LIMIT 10000"
	"), stuck AS ("
	"  SELECT session_id, updated_at FROM waiting w WHERE NOT EXISTS ("
	"    SELECT FROM grading_jobs g WHERE g.session_id = w.session_id"
	"      AND (g.status::text = 'pending'::text OR g.status::text = 'processing'::text)"
	"        IS TRUE)"
	")"
	"SELECT 'warning', pg_catalog.format('%s session%s no open job and will not end by %s"
	" counters: jobs"
	" were deleted or never inserted, changed by hand, or settled by another worker (%s%s)',"
	"   count(*), CASE count(*) WHEN 1 THEN ' has' ELSE 's have' END,"
	"   CASE count(*) WHEN 1 THEN 'its' ELSE 'their' END,"
	"   pg_catalog.array_to_string((pg_catalog.array_agg(session_id ORDER BY updated_at"
	" DESC))[:3], ', '),"
	"   CASE WHEN count(*) > 3 THEN ', ...' ELSE '' END),"
	"  'enqueue them again, for what is missing, or: SELECT grading_recount(session_id); both"
	" make the counters what the rows say'"
	" FROM stuck HAVING count(*) > 0";

/* What the application's live_sessions refuses to show, and what the daemon may not do there. */
static const char mirror_sql[] =
	"WITH live AS (SELECT c.oid FROM pg_class c WHERE c.oid = to_regclass('live_sessions')::oid"
	"  AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped"
	"    AND (a.attname = 'id' AND a.atttypid = 'uuid'::regtype"
	"      OR a.attname = 'analytics' AND a.atttypid = 'jsonb'::regtype)) = 2"
	"), lacking AS ("
	"  SELECT pg_catalog.string_agg(right_ || ' on ' || column_, ', ' ORDER BY right_, column_)"
	"    AS rights"
	"  FROM live CROSS JOIN (VALUES ('SELECT', 'id'), ('SELECT', 'analytics'),"
	"    ('SELECT', 'full_transcript'), ('SELECT', 'grading_status'), ('SELECT', 'xmin'),"
	"    ('UPDATE', 'analytics'), ('UPDATE', 'grading_status')) AS n(right_, column_)"
	"  JOIN pg_attribute a ON a.attrelid = live.oid AND a.attname = column_"
	"    AND NOT a.attisdropped"
	"  WHERE NOT has_column_privilege(live.oid, a.attnum, right_)"
	")"
	"SELECT 'warning', pg_catalog.format('%s lacks rights on live_sessions (%s): no session is"
	" shown there', current_user, rights), 'gradingctl migrate, again, as the owner of the table;"
	" or mirror = \"off\"'"
	" FROM lacking WHERE rights IS NOT NULL"
	" UNION ALL "
	"SELECT 'warning', pg_catalog.format('row-level security of live_sessions is on, and no policy"
	" lets %s %s: no session is shown there', current_user, what), 'gradingctl migrate, again, as"
	" the owner of the table; or mirror = \"off\"'"
	" FROM live CROSS JOIN (VALUES ('r'::\"char\", 'see rows'), ('w', 'change rows'))"
	"  AS n(command, what)"
	" WHERE row_security_active(live.oid) AND NOT EXISTS (SELECT FROM pg_policy p"
	"   WHERE p.polrelid = live.oid AND p.polpermissive AND p.polcmd IN ('*', command)"
	"   AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS role"
	"     WHERE role = 0::oid OR pg_has_role(current_user, role, 'USAGE'::text)))"
	" UNION ALL "
	"SELECT 'warning', pg_catalog.format('live_sessions refuses to show %s session%s, last %s,"
	" since %s: %s', count(*), CASE count(*) WHEN 1 THEN '' ELSE 's' END,"
	"   (pg_catalog.array_agg(m.session_id ORDER BY m.refused_at DESC))[1],"
	"   to_char(max(m.refused_at), 'YYYY-MM-DD HH24:MI'),"
	"   (pg_catalog.array_agg(m.error ORDER BY m.refused_at DESC))[1]),"
	"  'mend its trigger, check or policy: they are tried again every ten minutes, and by"
	" gradingctl reload at once'"
	" FROM (SELECT * FROM grading_mirrors LIMIT 10000) AS m HAVING count(*) > 0";

/*
 * Who is to be told and is not: messages that were given up or wait for long, webhooks that want
 * nothing or that no daemon delivers to any more, and triggers that somebody took away.
 */
static const char webhooks_sql[] =
	"SELECT 'warning', pg_catalog.format('%s message%s to the webhook %s %s given up; the last"
	" one: %s', n, CASE n WHEN 1 THEN '' ELSE 's' END, hook, CASE n WHEN 1 THEN 'was' ELSE 'were'"
	"   END, coalesce(error, 'nobody knows why')),"
	"  'gradingctl webhooks list --failed; gradingctl webhooks retry --failed sends them again'"
	" FROM (SELECT hook, count(*) AS n, (pg_catalog.array_agg(error ORDER BY ended_at DESC))[1]"
	"    AS error"
	"  FROM (SELECT hook, error, ended_at FROM grading_webhook_outbox WHERE state = 'dead'"
	"    ORDER BY ended_at DESC LIMIT 10000) AS last GROUP BY hook) AS dead"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('the webhook %s takes no messages: one waits since %s"
	" (UTC): %s', h.name, to_char(w.since AT TIME ZONE 'UTC'::text, 'YYYY-MM-DD HH24:MI'::text),"
	"   coalesce(w.error, 'nobody sends it')),"
	"  'look at its receiver, and whether a daemon runs that is configured with it'"
	" FROM grading_webhooks h CROSS JOIN LATERAL (SELECT o.created_at AS since, o.error"
	"  FROM grading_webhook_outbox o WHERE o.hook = h.name AND o.state = 'waiting'"
	"  ORDER BY o.next_at LIMIT 1) AS w"
	" WHERE h.disabled_at IS NULL AND w.since < now() - interval '1 hour'"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('the webhook %s is disabled: %s', name,"
	"   coalesce(disabled_why, 'nobody knows why')),"
	"  pg_catalog.format('gradingctl webhooks enable %s, or remove %s', name, name)"
	" FROM grading_webhooks WHERE disabled_at IS NOT NULL"
	" UNION ALL"
	" SELECT 'warning', pg_catalog.format('no daemon delivers to the webhook %s any more', name),"
	"  pg_catalog.format('gradingctl webhooks remove %s', name)"
	" FROM grading_webhooks WHERE seen_at < now() - interval '7 days'"
	" UNION ALL"
	" SELECT 'error', 'webhooks are not told: triggers of grading_sessions are missing or disabled',"
	"  'start a daemon that is configured with them again, or ALTER TABLE grading_sessions ENABLE"
	" TRIGGER ALL'"
	" FROM grading_webhooks"
	" WHERE disabled_at IS NULL AND seen_at > now() - interval '7 days'"
	" HAVING count(*) > 0 AND (SELECT count(*) FROM pg_trigger"
	"  WHERE tgrelid = 'grading_sessions'::regclass::oid AND tgenabled IN ('O', 'A')"
	"   AND tgname IN ('grading_sessions_end', 'grading_sessions_end_at_once')) < 2";

const struct doctor_check doctor_checks[] = {
	{ "server", server_sql, "", NULL, false },
	{ "horizon", horizon_sql, "no old transaction keeps dead rows from going", NULL, false },
	{ "slots", slots_sql, "no replication slot is left over",
	  "the role needs no more than to be connected", false },
	{ "standby", standby_sql, "no commit waits for a synchronous standby", NULL, false },
	{ "dead rows", dead_sql, "few, and autovacuum is on", NULL, false },
	{ "rights", rights_sql, "row-level security is on, and nobody has rights who should not",
	  NULL, false },
	{ "functions", functions_sql, "all present, and of this release", NULL, true },
	{ "triggers", triggers_sql, "all present, and enabled", NULL, true },
	{ "defaults", defaults_sql, "plain rows of session_id, job_type and job_data are taken",
	  NULL, true },
	{ "numbers", numbers_sql, "claims and cursors get numbers that never come back", NULL, true },
	{ "places", places_sql, "every job that waits has its place in the order of claims", NULL,
	  false },
	{ "indexes", indexes_sql, "all present and valid", NULL, true },
	{ "sessions", sessions_sql, "none waits for jobs that are not there", NULL, false },
	{ "mirror", mirror_sql, "live_sessions shows every session, where it is", NULL, false },
	{ "webhooks", webhooks_sql, "nothing was given up, and nothing waits for long",
	  "the role needs gradingd_worker for that", false },
};
const size_t doctor_checks_n = sizeof(doctor_checks) / sizeof(doctor_checks[0]);
