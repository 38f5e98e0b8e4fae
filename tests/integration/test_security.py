"""The database side of security: who may read and write what, as roles of Supabase, of the daemon, of an application.

The cluster is one of its own, set up as Supabase does it: the tables belong to a role that is no superuser, and
default privileges grant everything on all that it makes to anon, authenticated and service_role.
"""
import itertools
import re
import shutil
import subprocess

import psycopg
import pytest
from psycopg.rows import tuple_row

import harness
from conftest import short_directory
from harness import gradingctl, migrate, migrate_by_psql, new_session, rep, wait_until
from test_upkeep import FOREIGN, QUICK_REAPER, old_jobs

TABLES = ["grading_migrations", "grading_jobs", "phrase_cache", "grading_sessions", "line_ratings",
          "grading_provenance", "grading_webhooks", "grading_webhook_outbox",
          "session_gradings"]
STRANGERS = ["anon", "authenticated"]
OURS = ["gradingd_worker", "grading_app", "grading_reader"]
SECURITY = next(path for path in harness.MIGRATIONS if path.name.endswith("_security.sql"))
ROLES = """
    CREATE ROLE anon NOLOGIN; CREATE ROLE authenticated NOLOGIN; CREATE ROLE service_role NOLOGIN BYPASSRLS;
    CREATE ROLE owner LOGIN CREATEROLE; CREATE ROLE daemon LOGIN; CREATE ROLE app LOGIN; CREATE ROLE webapp LOGIN;
"""


class Cluster(harness.Postgres):
    """conninfo() names the owner of the tables, so that Database and migrate() are his."""

    def conninfo(self, dbname, user="owner"):
        return super().conninfo(dbname).replace("user=postgres", f"user={user}")

    def sql(self, dbname, sql, user="postgres"):
        with harness.connect(self.conninfo(dbname, user)) as conn:
            cursor = conn.execute(sql)
            return cursor.fetchall() if cursor.description else []


class Secured(harness.Database):
    """A database of such a cluster."""

    def as_user(self, user, sql, *params, role=None):
        """The rows that this user gets, who may act as another role."""
        with harness.connect(self.postgres.conninfo(self.name, user)) as conn:
            if role:
                conn.execute(f"SET ROLE {role}")
            cursor = conn.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else []

    def as_role(self, role, sql, *params):
        return self.as_user("postgres", sql, *params, role=role)

    def refused(self, role, sql, *params):
        """Whether the role may not."""
        try:
            self.as_role(role, sql, *params)
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@pytest.fixture(scope="module")
def cluster():
    directory = short_directory("gdsec-")
    server = Cluster(directory)
    try:
        server.sql("postgres", ROLES)
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def make_secured(cluster):
    """make_secured(first=SQL): a database of the owner's, migrated after `first` was run in it."""
    made = []

    def make(first="", apply=True):
        name = f"secured_{cluster.port}_{len(made)}"
        cluster.sql("postgres", f"CREATE DATABASE {name} OWNER owner")
        db = Secured(cluster, name)
        made.append(db)
        db.rows("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role")
        db.rows("ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role")
        if first:
            db.rows(first)
        if apply:
            migrate(db.conninfo)
            db.rows("GRANT gradingd_worker TO daemon")
            db.rows("GRANT grading_app TO app")
        return db

    yield make
    for db in made:
        db.close()
        cluster.sql("postgres", f"DROP DATABASE {db.name} WITH (FORCE)")


@pytest.fixture
def secured(make_secured):
    return make_secured()


def enqueue(db, session, user="owner"):
    db.as_user(user, "SELECT grading_enqueue(%s, %s::jsonb)", session, '[{"speaker": "rep", "text": "Hello there."}]')


def rated(db, *sessions):
    """Ratings as a daemon stores them."""
    for session in sessions:
        enqueue(db, session)
        db.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating, seq) VALUES (%s, 0, 'Hi', 'good', 1)",
                session)


# ---- strangers ----

def commands(table):
    column = {"grading_migrations": "version", "phrase_cache": "cache_key", "grading_provenance": "id",
              "grading_webhooks": "name"}.get(table, "session_id")
    return [f"SELECT * FROM {table}", f"INSERT INTO {table} DEFAULT VALUES", f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}", f"TRUNCATE {table}"]


@pytest.mark.parametrize("role", STRANGERS)
def test_strangers_read_and_write_nothing(secured, role):
    rated(secured, new_session())
    for table in TABLES:
        for sql in commands(table):
            assert secured.refused(role, sql) or secured.as_role(role, sql) == [], sql
    assert secured.value("SELECT count(*) FROM line_ratings") == 1


@pytest.mark.parametrize("role", STRANGERS)
def test_rights_granted_to_strangers_afterwards_show_no_row(secured, role):
    """What well-meant scripts do: the policies still stand between."""
    rated(secured, new_session())
    secured.rows(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    secured.rows(f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO {role}")
    for table in TABLES:
        assert secured.as_role(role, f"SELECT * FROM {table}") == []
        assert secured.as_role(role, f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT * FROM gone") == []
    assert secured.refused(role, "INSERT INTO grading_jobs (session_id) VALUES (%s)", new_session())
    secured.rows("SELECT grading_secure()")
    assert secured.refused(role, "SELECT * FROM grading_jobs")


def test_strangers_may_call_nothing_that_writes(secured):
    allowed = {(row.role, row.proname) for row in secured.rows(
        "SELECT role, proname FROM unnest(%s::text[]) AS role, pg_proc"
        " WHERE proname LIKE 'grading\\_%%' AND has_function_privilege(role, pg_proc.oid, 'EXECUTE')", STRANGERS)}
    assert allowed == {("authenticated", name) for name in ("grading_progress", "grading_ratings", "grading_may_read",
                                                            "grading_open_jobs", "grading_whole")}
    assert secured.refused("authenticated", "SELECT grading_enqueue(%s, '[]')", new_session())


def test_every_table_of_ours_has_row_level_security(secured):
    open_ones = secured.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                             " AND NOT relrowsecurity")
    assert open_ones == []


def test_a_table_that_comes_later_is_taken_in(secured):
    secured.rows("CREATE TABLE IF NOT EXISTS phrase_flights (cache_key text PRIMARY KEY)")
    secured.rows("SELECT grading_secure()")
    assert secured.value("SELECT relrowsecurity FROM pg_class WHERE relname = 'phrase_flights'")
    assert secured.refused("anon", "SELECT * FROM phrase_flights")
    assert secured.as_role("daemon", "SELECT * FROM phrase_flights") == []


# ---- an application's users ----

HOOK = """
    CREATE TABLE IF NOT EXISTS mine (session_id uuid);
    CREATE OR REPLACE FUNCTION grading_may_read(session_id uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
        SELECT EXISTS (SELECT FROM public.mine m WHERE m.session_id = grading_may_read.session_id) $$
"""


def test_a_user_reads_the_ratings_that_the_application_lets_him(secured):
    own, other = new_session(), new_session()
    rated(secured, own, other)
    assert secured.as_role("authenticated", "SELECT * FROM grading_ratings(%s)", own) == []
    secured.rows(HOOK)
    secured.rows("INSERT INTO mine VALUES (%s)", own)
    for read in (lambda: secured.as_role("authenticated", "SELECT session_id::text FROM line_ratings"),
                 lambda: secured.as_role("authenticated", "SELECT session_id::text FROM grading_sessions")):
        assert [row.session_id for row in read()] == [own]
    assert [row.rating for row in secured.as_role("authenticated", "SELECT * FROM grading_ratings(%s)", own)] == ["good"]
    assert secured.as_role("authenticated", "SELECT * FROM grading_ratings(%s)", other) == []
    assert secured.as_role("authenticated", "SELECT lines_total FROM grading_progress(%s)", own)[0].lines_total == 1
    assert secured.as_role("authenticated", "SELECT * FROM grading_progress(%s)", other) == []
    # The queue is none of his business, but that his session is not over while a job of it is there.
    secured.rows("UPDATE grading_sessions SET completed_batches = total_batches WHERE session_id = %s", own)
    assert secured.as_role("authenticated", "SELECT status FROM grading_progress(%s)", own)[0].status == "processing"
    for session, n in ((own, 1), (other, 0)):
        assert secured.as_role("authenticated", "SELECT grading_open_jobs(%s) AS n", session)[0].n == n
    assert secured.as_role("grading_app", "SELECT grading_open_jobs(%s) AS n", other)[0].n == 1


def test_so_he_reads_how_his_sessions_were_graded_as_a_whole(secured):
    own, other = new_session(), new_session()
    for session in (own, other):
        secured.rows("INSERT INTO session_gradings (session_id, score, grading) VALUES (%s, 7, '{\"score\": 7}')", session)
    secured.rows(HOOK)
    secured.rows("INSERT INTO mine VALUES (%s)", own)
    for session, score in ((own, 7), (other, None)):
        assert secured.as_role("authenticated", "SELECT (grading_whole(%s) ->> 'score')::int AS s", session)[0].s == score
    assert secured.as_role("grading_app", "SELECT (grading_whole(%s) ->> 'score')::int AS s", other)[0].s == 7
    assert secured.refused("anon", "SELECT grading_whole(%s)", own)


def test_what_he_may_read_he_may_not_change(secured):
    own = new_session()
    rated(secured, own)
    secured.rows(HOOK)
    secured.rows("INSERT INTO mine VALUES (%s)", own)
    for table in ("line_ratings", "grading_sessions", "session_gradings"):
        for sql in commands(table)[1:]:
            assert secured.refused("authenticated", sql), sql
    assert secured.refused("anon", "SELECT * FROM line_ratings")


def test_the_applications_answer_outlives_the_migration(secured):
    secured.rows(HOOK)
    before = secured.value("SELECT prosrc FROM pg_proc WHERE proname = 'grading_may_read'")
    migrate_by_psql(secured.conninfo)
    assert secured.value("SELECT prosrc FROM pg_proc WHERE proname = 'grading_may_read'") == before
    assert not secured.refused("authenticated", "SELECT * FROM line_ratings")


# ---- an application ----

def test_an_application_enqueues_and_reads(secured):
    session = new_session()
    enqueue(secured, session, "app")
    assert secured.as_user("app", "SELECT status FROM grading_progress(%s)", session)[0].status == "queued"
    assert secured.as_user("app", "SELECT * FROM grading_ratings(%s)", session) == []
    assert secured.as_user("app", "SELECT count(*) AS n FROM grading_jobs WHERE status = 'pending'")[0].n == 1


def test_an_application_has_its_sessions_graded_as_a_whole(secured):
    session = new_session()
    secured.as_user("app", "SELECT grading_submit(%s, %s::jsonb, '{\"full_grading\": true}')", session,
                    '[{"speaker": "rep", "text": "Hello there."}]')
    assert [job.job_type for job in secured.rows("SELECT job_type FROM grading_jobs ORDER BY id")] == [
        "line_rating", "full_grading"]
    assert secured.as_user("app", "SELECT batches_total FROM grading_progress(%s)", session)[0].batches_total == 1


def test_an_application_inserts_plain_rows_and_no_others(secured):
    plain = "INSERT INTO grading_jobs (session_id, job_type, job_data{}) VALUES (%s, 'line_rating', '{{}}'{}) RETURNING id"
    assert secured.as_user("app", plain.format("", ""), new_session())
    assert secured.as_user("app", plain.format(", priority", ", 7"), new_session())
    secured.rows("INSERT INTO grading_tenants (tenant, number) VALUES ('acme', 7)")
    assert secured.as_user("app", plain.format(", tenant", ", 'acme'"), new_session())
    assert secured.value("SELECT turn FROM grading_jobs WHERE tenant = 'acme'") == -28
    for column, value in (("status", "'completed'"), ("attempts", "-100"), ("claim", "5"), ("result", "'{}'")):
        assert secured.refused("app", plain.format(f", {column}", f", {value}"), new_session()), column


def test_an_application_changes_nothing_of_the_daemons(secured):
    rated(secured, new_session())
    for table in TABLES:
        for sql in commands(table)[2:]:
            assert secured.refused("app", sql), sql
    assert secured.refused("app", "INSERT INTO line_ratings (session_id, line_index, line_text, rating)"
                                  " VALUES (%s, 0, '', 'good')", new_session())
    assert secured.refused("app", "SELECT * FROM phrase_cache")
    assert secured.refused("app", "SELECT grading_secure()")


def test_an_application_retries_and_cancels_but_strangers_do_not(secured):
    session = new_session()
    enqueue(secured, session, "app")
    conninfo = secured.postgres.conninfo(secured.name, "app")
    for words, status in ((["cancel", session], "failed"), (["retry", session], "pending"), (["cancel", session], "failed"),
                          (["retry", "--failed"], "pending"), (["jobs"], "pending")):
        done = gradingctl("-d", conninfo, *words)
        assert done.returncode == 0 and done.stdout.startswith("1 job ") or words == ["jobs"], done
        assert secured.value("SELECT status FROM grading_jobs") == status
    for role in STRANGERS:
        for function in ("grading_retry(%s)", "grading_retry_many(ARRAY[%s::uuid])", "grading_cancel(%s)"):
            assert secured.refused(role, f"SELECT {function}", session)


def test_gradingctl_works_for_an_application(make_pool, secured, tmp_path):
    make_pool(secured.postgres.conninfo(secured.name, "daemon"))
    file = tmp_path / "call.json"
    file.write_text('{"id": "call-1", "transcript": [{"speaker": "rep", "text": "How are you today?"}]}')
    conninfo = secured.postgres.conninfo(secured.name, "app")
    for words in (["enqueue", str(file), "--wait"], ["progress", "call-1"], ["ratings", "call-1"]):
        done = gradingctl("-d", conninfo, *words)
        assert done.returncode == 0, done
    assert "How are you today?" in done.stdout


def test_roles_with_rights_of_their_own_keep_them(make_secured, cluster):
    db = make_secured(apply=False)
    migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path < SECURITY])
    db.rows("GRANT SELECT, INSERT ON grading_jobs TO webapp; GRANT SELECT, INSERT ON grading_sessions TO webapp")
    migrate(db.conninfo)
    for _ in range(2):
        session = new_session()
        db.as_user("webapp", "INSERT INTO grading_jobs (session_id) VALUES (%s)", session)
        assert db.as_user("webapp", "SELECT * FROM grading_jobs WHERE session_id = %s", session)
        enqueue(db, new_session(), "webapp")
        assert db.as_user("webapp", "SELECT count(*) AS n FROM grading_progress(%s)", session)
        assert db.refused("webapp", "DELETE FROM grading_jobs") and db.refused("webapp", "SELECT * FROM line_ratings")
        db.rows("SELECT grading_secure()")


def test_security_that_was_on_before_is_not_widened(make_secured):
    db = make_secured("CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid NOT NULL);"
                      "ALTER TABLE grading_jobs ENABLE ROW LEVEL SECURITY; GRANT SELECT ON grading_jobs TO webapp;"
                      "CREATE POLICY everybody ON grading_jobs TO public USING (id IS NULL)")
    db.insert(id=new_session())
    assert db.as_user("webapp", "SELECT * FROM grading_jobs") == []
    assert db.refused("anon", "SELECT * FROM grading_jobs")


# ---- the daemon ----

@pytest.fixture
def make_worker_pool(make_pool, secured):
    """A pool whose role is but a member of gradingd_worker."""

    def make(**groups):
        return make_pool(secured.postgres.conninfo(secured.name, "daemon"), **groups)

    return make


def test_a_member_of_gradingd_worker_does_all_of_a_pools_work(make_worker_pool, secured, cluster):
    old_jobs(secured, "completed", 50)
    secured.rows("INSERT INTO phrase_cache (cache_key, phrase, rating, created_at) VALUES ('old', 'x', 'good', '-infinity')")
    secured.insert_many(300)
    stuck = secured.insert(**FOREIGN, attempts=2, started_at=secured.value("SELECT now() - interval '1 hour'"))
    pool = make_worker_pool(**QUICK_REAPER)
    assert secured.wait(stuck, "failed")
    secured.insert(job_data=[])
    secured.insert_many(300, text="Again line {n}.")
    pool.kill(wait_until(pool.workers)[0])
    cluster.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'daemon'")
    wait_until(lambda: secured.unsettled() == 0)
    wait_until(lambda: secured.value("SELECT count(*) FROM phrase_cache WHERE cache_key = 'old'") == 0)
    wait_until(lambda: secured.value("SELECT count(*) FROM grading_jobs WHERE completed_at < now() - interval '1 day'") == 0)
    assert secured.value("SELECT count(*) FROM line_ratings") == 600
    assert "SQLSTATE 42" not in pool.log


def statement_names():
    return {path.stem for path in (harness.ROOT / "src/queue/sql").glob("*.sql")}


def test_every_statement_is_within_the_rights_of_gradingd_worker(make_worker_pool, secured, cluster):
    """Rights are looked at before the first row, so that each may run with nothing but nulls."""
    cluster.sql("postgres", "ALTER ROLE daemon SET log_min_duration_statement = 0")
    try:
        pool = make_worker_pool(pool={"workers": 1}, mirror="on")
        wait_until(lambda: any((row["role"], row["state"]) == ("publisher", "idle") for row in pool.show("workers")))
        pool.stop()
    finally:
        cluster.sql("postgres", "ALTER ROLE daemon RESET log_min_duration_statement")
    with open(f"{cluster.directory}/log", encoding="utf-8") as log:
        texts = dict(re.findall(r" parse (\w+): (.*)", log.read()))
    assert set(texts) == statement_names()
    with harness.connect(cluster.conninfo(secured.name, "daemon"), autocommit=False, row_factory=tuple_row) as conn:
        for name, text in texts.items():
            if text in ("BEGIN", "COMMIT"):
                continue
            nulls = len(set(re.findall(r"\$\d+", text)))
            conn.execute(f"PREPARE {name} AS {text}".encode())
            conn.execute(f"EXECUTE {name}" + (f"({', '.join(['NULL'] * nulls)})" if nulls else ""))


def test_the_daemon_may_no_more_than_it_needs(secured):
    for sql in ("INSERT INTO grading_jobs (session_id) VALUES (gen_random_uuid())", "TRUNCATE line_ratings",
                "DELETE FROM line_ratings", "DELETE FROM grading_sessions", "UPDATE grading_migrations SET version = 1",
                "DROP TABLE grading_jobs", "SELECT grading_secure()"):
        assert secured.refused("daemon", sql), sql


def test_the_daemons_role_may_look_at_sessions(secured):
    """gradingctl has the daemon's configuration, and so its role."""
    session = new_session()
    rated(secured, session)
    for words in (["progress", session], ["ratings", session], ["cache"], ["cache", "drop", "--all"]):
        done = gradingctl("-d", secured.postgres.conninfo(secured.name, "daemon"), *words)
        assert done.returncode == 0, done


def test_the_claims_plan_is_the_same_for_a_worker_and_the_owner(secured):
    """The policy of gradingd_worker is no condition that rows are tested for."""
    sql = "EXPLAIN SELECT id FROM grading_jobs WHERE status = 'pending' ORDER BY priority DESC, available_at, id LIMIT 5"
    assert secured.as_user("daemon", sql) == secured.rows(sql)


# ---- the migration itself ----

def rights(db):
    return (db.rows("SELECT relname, relacl::text, relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                    " ORDER BY 1"),
            db.rows("SELECT polrelid::regclass::text, polname, polcmd::text, polroles::text, pg_get_expr(polqual, polrelid)"
                    " FROM pg_policy ORDER BY 1, 2"),
            db.rows("SELECT proname, proacl::text, proconfig, prosecdef FROM pg_proc"
                    " WHERE pronamespace = 'public'::regnamespace ORDER BY 1, pronargs"))


def test_twice_by_psql_changes_no_right(secured):
    before = rights(secured)
    migrate_by_psql(secured.conninfo)
    assert rights(secured) == before


@pytest.fixture
def no_roles(cluster, request):
    """For a while nobody knows the roles of ours, and the owner may create none."""
    cluster.sql("postgres", "ALTER ROLE owner NOCREATEROLE")
    for role in OURS:
        if cluster.sql("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            cluster.sql("postgres", f"ALTER ROLE {role} RENAME TO {role}_away")
    yield
    cluster.sql("postgres", "ALTER ROLE owner CREATEROLE")
    for role in OURS:
        if cluster.sql("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = '{role}_away'"):
            cluster.sql("postgres", f"ALTER ROLE {role}_away RENAME TO {role}")


def test_without_a_right_to_create_roles_the_rest_is_done(make_secured, no_roles, make_pool):
    db = make_secured(apply=False)
    migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path < SECURITY])
    done = subprocess.run([harness.postgres_tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SECURITY, db.conninfo],
                          text=True, capture_output=True, check=True, timeout=harness.PATIENCE_S)
    assert "the role gradingd_worker was not created" in done.stderr and "SELECT grading_secure()" in done.stderr
    assert db.refused("anon", "SELECT * FROM grading_jobs")
    migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path > SECURITY])
    make_pool(db)
    db.completed(rep("The owner's pool works."))


def test_roles_that_come_later_get_their_rights(make_secured, cluster, no_roles):
    db = make_secured(apply=False)
    done = gradingctl("-d", db.conninfo, "migrate")
    assert done.returncode == 0 and "the role grading_app was not created" in done.stderr
    assert done.stderr.count("the role grading_app was not created") == 1
    said = gradingctl("-d", db.conninfo, "doctor").stdout
    assert f"there is no role {' or '.join(OURS)}" in said and "SELECT grading_secure(), as a superuser" in said
    cluster.sql("postgres", "".join(f"CREATE ROLE {role};" for role in OURS) + "GRANT gradingd_worker TO daemon")
    try:
        assert db.refused("daemon", "SELECT * FROM grading_jobs")
        db.rows("SELECT grading_secure()")
        assert db.as_user("daemon", "SELECT * FROM grading_jobs") == []
    finally:
        cluster.sql(db.name, "DROP OWNED BY {0}; DROP ROLE {0}".format(", ".join(OURS)))


def test_where_supabases_roles_are_unknown(bare_db):
    assert bare_db.value("SELECT count(*) FROM pg_roles WHERE rolname IN ('anon', 'authenticated')") == 0
    migrate(bare_db.conninfo)
    assert {row.relname for row in bare_db.rows("SELECT relname FROM pg_class WHERE relrowsecurity")} >= set(TABLES)


def test_tables_of_other_roles_are_secured_by_a_superuser(make_secured, cluster):
    """The application made grading_jobs; a superuser migrates, and owns the rest."""
    db = make_secured("CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid NOT NULL)", apply=False)
    migrate(cluster.conninfo(db.name, "postgres"))
    cluster.sql(db.name, "GRANT grading_app TO app")
    assert db.refused("anon", "SELECT * FROM grading_jobs") and db.refused("anon", "SELECT * FROM line_ratings")
    enqueue(db, new_session(), "app")
    db.insert()
    assert db.count() == 2


def test_triggers_of_a_tables_owner_get_no_rights_of_who_migrated(make_secured, cluster):
    """grading_enqueue() has its owner's rights, and so have they."""
    db = make_secured("CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid NOT NULL);"
                      "CREATE TABLE seen (who text); GRANT INSERT ON seen TO PUBLIC", apply=False)
    migrate(cluster.conninfo(db.name, "postgres"))
    cluster.sql(db.name, "GRANT grading_app TO app")
    db.rows("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NEW; END $$;"
            "CREATE TRIGGER note BEFORE INSERT ON grading_jobs FOR EACH ROW EXECUTE FUNCTION note()")
    enqueue(db, new_session(), "app")
    assert [row.who for row in db.rows("SELECT * FROM seen")] == ["owner"]


def test_a_table_that_is_anothers_is_said_to_be_open(secured, cluster):
    """The rest is secured all the same."""
    cluster.sql(secured.name, "ALTER TABLE phrase_cache OWNER TO postgres; ALTER TABLE phrase_cache DISABLE ROW LEVEL SECURITY")
    secured.rows("GRANT SELECT ON line_ratings TO anon")
    notices = []
    with harness.connect(secured.conninfo) as conn:
        conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        conn.execute("SELECT grading_secure()")
    assert any("phrase_cache is not secured: it belongs to postgres" in notice for notice in notices)
    assert secured.refused("anon", "SELECT * FROM line_ratings")


HIJACKS = [("concat", "a text, b text", "text"), ("lower", "a text", "text"), ("jsonb_agg_of", "a jsonb, b jsonb", "jsonb"),
           ("jsonb_build_object", "a text, b bigint", "jsonb"), ("btrim", "a text, b text", "text"),
           ("btrim", "a text, b varchar", "text"), ("pick", "a jsonb, b jsonb", "jsonb"),
           ("jsonb_build_object", "a text, b jsonb, c text, d bigint, e text, f integer, g text, h integer, i text, j text,"
            " k text, l text", "jsonb")]


def test_functions_of_others_are_not_called_with_the_owners_rights(make_secured, cluster):
    """A schema where everybody may create: better matches for the calls in our functions are there to be taken."""
    db = make_secured("GRANT CREATE ON SCHEMA public TO webapp; CREATE TABLE taken (who text); GRANT INSERT ON taken TO PUBLIC")
    for name, arguments, result in HIJACKS:
        db.as_user("webapp", f"CREATE FUNCTION {name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS"
                             " $$ BEGIN INSERT INTO public.taken VALUES (current_user); RETURN NULL; END $$")
    for sign in ("->>", "->", "||", "-"):
        db.as_user("webapp", f"CREATE OPERATOR {sign} (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = pick)")
    db.as_user("webapp", "CREATE AGGREGATE jsonb_agg(jsonb) (SFUNC = jsonb_agg_of, STYPE = jsonb)")
    for sign, number in itertools.product("*/%+-|", ("bigint", "numeric")):     # where pg_catalog's needs a conversion
        name = f"op{ord(sign)}_{number}"
        db.as_user("webapp", f"CREATE FUNCTION {name}(a {number}, b integer) RETURNS {number} LANGUAGE plpgsql AS"
                             " $$ BEGIN INSERT INTO public.taken VALUES (current_user); RETURN a; END $$")
        db.as_user("webapp", f"CREATE OPERATOR {sign} (LEFTARG = {number}, RIGHTARG = integer, FUNCTION = {name})".encode())
    session = new_session()
    enqueue(db, session, "app")
    assert db.as_user("app", "SELECT grading_cancel(%s) AS n", session)[0].n == 1
    assert db.as_user("app", "SELECT grading_retry(%s) AS n", session)[0].n == 1
    assert db.rows("SELECT * FROM taken") == []
    assert db.session(session).total_lines == 1
    assert db.value("SELECT job_data FROM grading_jobs")["transcript"][0]["text"] == "Hello there."


def test_who_secures_calls_no_function_of_others(secured, cluster):
    """A superuser, as the README says; and what has a name of ours but other arguments gets no rights."""
    secured.rows("GRANT CREATE ON SCHEMA public TO webapp; CREATE TABLE taken (who text); GRANT INSERT ON taken TO PUBLIC")
    for head, result in (("format(a text, b text)", "text"), ("quote_ident(a name)", "text"), ("unnest(a text[])", "SETOF text"),
                         ("array_position(a text[], b text)", "integer"), ("grading_enqueue(a integer)", "integer")):
        secured.as_user("webapp", f"CREATE FUNCTION {head} RETURNS {result} LANGUAGE plpgsql AS $$ BEGIN INSERT INTO"
                                  f" public.taken VALUES (current_user); RETURN {'' if 'SETOF' in result else 'NULL'}; END $$")
    before = rights(secured)
    cluster.sql(secured.name, "BEGIN; SELECT public.grading_secure(); CREATE TABLE afterwards (); COMMIT")
    assert secured.rows("SELECT * FROM taken") == [] and secured.value("SELECT to_regclass('public.afterwards') IS NOT NULL")
    assert rights(secured)[1:] == before[1:]


def test_a_temporary_table_of_the_callers_is_not_taken_for_ours(secured):
    session = new_session()
    with harness.connect(secured.postgres.conninfo(secured.name, "app")) as conn:
        conn.execute("CREATE TEMPORARY TABLE grading_jobs (session_id uuid, job_type text, job_data jsonb, priority int)")
        conn.execute("SELECT grading_enqueue(%s, '[{\"speaker\": \"rep\", \"text\": \"Hi.\"}]')", [session])
    assert secured.count("pending") == 1


def test_an_applications_triggers_find_their_tables(make_secured):
    """They name them without a schema, and were called with the caller's search_path before."""
    db = make_secured("""CREATE TABLE seen (session_id uuid);
        CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid NOT NULL);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO seen VALUES (NEW.session_id); RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE INSERT ON grading_jobs FOR EACH ROW EXECUTE FUNCTION note()""")
    enqueue(db, new_session(), "app")
    assert db.value("SELECT count(*) FROM seen") == 1


def test_functions_work_whatever_the_callers_search_path(secured):
    session = new_session()
    for function, more in (("grading_enqueue", ", '[]'"), ("grading_progress", ""), ("grading_ratings", ""),
                           ("grading_retry", ""), ("grading_cancel", "")):
        secured.as_user("app", f"SELECT set_config('search_path', '', false), public.{function}(%s{more})", session)


def test_tables_in_a_schema_of_their_own(make_secured, make_pool):
    db = make_secured(apply=False)
    db.rows("CREATE SCHEMA rating; REVOKE ALL ON SCHEMA rating FROM PUBLIC")
    db.rows(f"ALTER DATABASE {db.name} SET search_path = rating")
    db.close()
    migrate(db.conninfo)
    assert db.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'rating' AND rowsecurity") >= len(TABLES)
    db.rows("GRANT gradingd_worker TO daemon; GRANT grading_app TO app")
    make_pool(db.postgres.conninfo(db.name, "daemon"))
    session = new_session()
    enqueue(db, session, "app")
    wait_until(lambda: db.as_user("app", "SELECT status FROM grading_progress(%s)", session)[0].status == "completed")
    assert db.refused("anon", "SELECT * FROM rating.grading_jobs")


# ---- rights by name ----

def test_an_application_says_pending_and_when_and_no_other_status(secured):
    said = "INSERT INTO grading_jobs (session_id, job_data, status, created_at) VALUES (%s, '{{}}', '{}', now() - interval '1 h')"
    secured.as_user("app", said.format("pending"), new_session())
    assert secured.value("SELECT created_at < now() - interval '59 min' FROM grading_jobs")
    for status in ("processing", "completed", "failed"):
        assert secured.refused("grading_app", said.format(status), new_session()), status
    assert secured.value("SELECT count(*) FROM grading_jobs") == 1


def test_the_back_end_has_its_rights_by_name_whoever_migrates(make_secured, cluster):
    """Another role than Supabase's own made the tables, so no default privilege of that one holds for them."""
    db = make_secured()
    for table in TABLES:
        db.rows(f"REVOKE ALL ON {table} FROM service_role")
    cluster.sql(db.name, "ALTER ROLE service_role NOBYPASSRLS")
    try:
        db.rows("SELECT grading_secure()")
        session = new_session()
        transcript = '[{"speaker": "rep", "text": "A."}]'
        told = db.as_role("service_role", "SELECT grading_submit(session_id => %s, transcript => %s) AS told", session, transcript)
        assert told[0].told == {"jobs": 1, "lines": 1, "skipped": 0, "known": 0}
        assert db.as_role("service_role", "SELECT status FROM grading_progress(%s)", session)[0].status == "queued"
        db.as_role("service_role", "INSERT INTO grading_jobs (session_id, job_data) VALUES (%s, '{}')", new_session())
        assert db.as_role("service_role", "SELECT count(*) AS n FROM grading_jobs")[0].n == 2
        assert db.as_role("service_role", "SELECT grading_forget(%s) AS n", session)[0].n == 2
        for function in ("grading_secure()", "grading_speakers()"):
            assert db.refused("anon", f"SELECT {function}")
    finally:
        cluster.sql(db.name, "ALTER ROLE service_role BYPASSRLS")


def test_an_application_submits_asks_again_and_forgets(secured):
    session = new_session()
    told = secured.as_user("app", "SELECT grading_submit(%s, '[{\"speaker\": \"rep\", \"text\": \"A.\"}]',"
                                  " '{\"tenant\": \"t\"}') AS told", session)
    assert told[0].told["jobs"] == 1
    for call, answer in (("grading_recount(%s)", False), ("grading_retry(%s, incomplete => true)", 0),
                         ("grading_put_back(ARRAY[%s::uuid], true, true)", 0), ("grading_forget(%s)", 2)):
        assert secured.as_user("app", f"SELECT {call} AS n", session)[0].n == answer, call
    for call in ("grading_submit(%s, '[]')", "grading_recount(%s)", "grading_forget(%s)"):
        for role in STRANGERS:
            assert secured.refused(role, f"SELECT {call}", session), call
