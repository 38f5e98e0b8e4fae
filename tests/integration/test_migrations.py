"""Migrations: twice, by psql, side by side; and the adoption of tables that an application made earlier."""
import json
import re
import subprocess
import threading

import pytest

import harness
from harness import migrate, migrate_by_psql, new_session, rep, together, wait_until

# As applications made them: uuid v4, their own indexes and trigger, no column of ours.
APPLICATION = """
    CREATE TABLE live_sessions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), analytics jsonb DEFAULT '{}');
    CREATE TABLE grading_jobs (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        session_id uuid NOT NULL REFERENCES live_sessions(id) ON DELETE CASCADE,
        job_type text NOT NULL CHECK (job_type IN ('line_rating', 'full_grading')),
        job_data jsonb NOT NULL DEFAULT '{}',
        status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
        result jsonb, error text, attempts int DEFAULT 0, max_attempts int DEFAULT 3,
        created_at timestamptz DEFAULT now(), started_at timestamptz, completed_at timestamptz,
        failed_at timestamptz, updated_at timestamptz DEFAULT now());
    CREATE INDEX idx_grading_jobs_status ON grading_jobs (status, created_at) WHERE status IN ('pending', 'processing');
    CREATE INDEX idx_grading_jobs_session_id ON grading_jobs (session_id);
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
    CREATE TRIGGER touch BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TABLE phrase_cache (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), cache_key text NOT NULL UNIQUE, phrase text NOT NULL,
        alternatives text[] DEFAULT '{}', rating text NOT NULL, context text, created_at timestamptz DEFAULT now());
    INSERT INTO phrase_cache (cache_key, phrase, rating) VALUES ('abc', 'Hello', 'splendid');
"""

# A poorer forerunner: only what an insert needs.
POOR = """
    CREATE TABLE grading_jobs (id uuid PRIMARY KEY, session_id uuid, job_type text, job_data jsonb,
        status varchar(20) DEFAULT 'pending', created_at timestamptz);
    CREATE TABLE phrase_cache (cache_key text PRIMARY KEY, phrase text, rating text);
"""

# SHA-256 of migrations whose text was mended after it had been released.
FORMER = {83: "172d5bfbe3b7c81b31aa7e8095ddafb3a5a8716172f860803c9a868613f14767"}


def schema(db):
    """Everything a migration could change, as text."""
    return db.rows("SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns"
                   " WHERE table_schema = 'public' ORDER BY 1, 2") + db.rows(
                       "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1") + db.rows(
                           "SELECT md5(prosrc), proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 2")


def adopted(db, sql=APPLICATION, rows=""):
    for statement in (sql, rows):
        if statement:
            db.rows(statement)
    migrate(db.conninfo)
    return db


def test_twice_by_psql_changes_nothing(bare_db):
    migrate_by_psql(bare_db.conninfo)
    before = schema(bare_db)
    migrate_by_psql(bare_db.conninfo)
    assert schema(bare_db) == before


def test_a_database_that_has_a_former_text_needs_nothing(bare_db):
    migrate(bare_db.conninfo)
    for version, checksum in FORMER.items():
        bare_db.rows("UPDATE grading_migrations SET checksum = %s WHERE version = %s", checksum, version)
    migrate(bare_db.conninfo)
    assert dict(bare_db.rows("SELECT version, checksum FROM grading_migrations")).items() >= FORMER.items()
    bare_db.rows("UPDATE grading_migrations SET checksum = 'x' WHERE version = 83")
    assert harness.gradingctl("-d", bare_db.conninfo, "migrate").returncode != 0


def test_twice_by_gradingctl_changes_nothing_and_keeps_checksums(bare_db):
    migrate(bare_db.conninfo)
    before = schema(bare_db), bare_db.rows("SELECT * FROM grading_migrations ORDER BY version")
    migrate(bare_db.conninfo)
    assert (schema(bare_db), bare_db.rows("SELECT * FROM grading_migrations ORDER BY version")) == before
    assert all(row.checksum for row in before[1])
    assert [row.name for row in before[1][1:] + before[1][:1]] == [path.name for path in harness.MIGRATIONS]


def test_gradingctl_and_psql_make_the_same_schema(bare_db, make_database):
    other = make_database()
    migrate(bare_db.conninfo)
    migrate_by_psql(other.conninfo)
    assert schema(bare_db) == schema(other)


def test_gradingctl_goes_on_where_psql_began(bare_db):
    migrate_by_psql(bare_db.conninfo, harness.MIGRATIONS[:2])
    migrate(bare_db.conninfo)
    assert bare_db.value("SELECT count(*) FROM grading_migrations") == len(harness.MIGRATIONS)


def test_two_hosts_may_migrate_at_the_same_moment(bare_db):
    both = [subprocess.Popen([harness.GRADINGCTL, "-d", bare_db.conninfo, "migrate"], stdout=subprocess.DEVNULL)
            for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert bare_db.value("SELECT count(*) FROM grading_migrations") == len(harness.MIGRATIONS)


# ---- functions.sql ----

CANCEL = "SELECT prosrc FROM pg_proc WHERE proname = 'grading_cancel'"


def states(db, *arguments):
    """What `gradingctl migrate` says of each file."""
    done = harness.gradingctl("--json", "-d", db.conninfo, "migrate", *arguments)
    return {line["migration"]: line["state"] for line in map(json.loads, done.stdout.splitlines())}, done.returncode


def test_functions_of_another_release_are_replaced(bare_db):
    migrate(bare_db.conninfo)
    ours = bare_db.value(CANCEL)
    bare_db.rows("CREATE OR REPLACE FUNCTION grading_cancel(session_id uuid) RETURNS integer LANGUAGE sql AS 'SELECT 0'")
    bare_db.rows("UPDATE grading_migrations SET checksum = 'of another text' WHERE version = 0")
    found, status = states(bare_db, "--status")
    assert (found["functions.sql"], status) == ("outdated", 1)
    found, status = states(bare_db)
    assert (found.pop("functions.sql"), set(found.values()), status) == ("applied", {"present"}, 0)
    assert bare_db.value(CANCEL) == ours
    found, status = states(bare_db)
    assert (set(found.values()), status) == ({"present"}, 0)


def test_functions_come_again_after_a_file_that_makes_them_as_they_were(bare_db):
    migrate(bare_db.conninfo)
    ours = bare_db.value(CANCEL)
    bare_db.rows("UPDATE grading_migrations SET checksum = NULL WHERE version = 90")     # as psql records it
    found, _ = states(bare_db)
    assert found["090_retry_cancel.sql"] == found["functions.sql"] == "applied"
    assert bare_db.value(CANCEL) == ours


def test_functions_by_psql_are_on_record_without_a_checksum(bare_db):
    migrate(bare_db.conninfo)
    migrate_by_psql(bare_db.conninfo, harness.MIGRATIONS[-1:])
    assert harness.MIGRATIONS[-1].name == "functions.sql"
    assert states(bare_db, "--status")[0]["functions.sql"] == "by hand"
    assert states(bare_db)[0]["functions.sql"] == "applied"


def test_functions_of_a_newer_release_are_left_alone(bare_db):
    migrate(bare_db.conninfo)
    bare_db.rows("INSERT INTO grading_migrations (version, name, checksum) VALUES (999, '999_later.sql', 'x')")
    bare_db.rows("UPDATE grading_migrations SET checksum = 'of a newer text' WHERE version = 0")
    before = bare_db.rows("SELECT * FROM grading_migrations ORDER BY version")
    found, status = states(bare_db)
    assert (found["999_later.sql"], found["functions.sql"], status) == ("newer", "newer", 0)
    assert bare_db.rows("SELECT * FROM grading_migrations ORDER BY version") == before


def test_the_highest_version_is_a_numbered_files(bare_db):
    migrate(bare_db.conninfo)
    assert bare_db.value("SELECT max(version) FROM grading_migrations") == int(harness.MIGRATIONS[-2].name[:3])


@pytest.mark.parametrize("sql", [APPLICATION, POOR], ids=["application", "poor"])
def test_an_earlier_table_gets_what_it_lacks(bare_db, sql):
    adopted(bare_db, sql)
    columns = {row.column_name for row in bare_db.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'grading_jobs'")}
    assert columns >= {"result", "error", "attempts", "max_attempts", "started_at", "completed_at", "failed_at",
                       "updated_at", "priority", "available_at", "claim", "claimed_by"}
    assert bare_db.value("SELECT data_type FROM information_schema.columns WHERE table_name = 'phrase_cache'"
                         " AND column_name = 'alternatives'") == "ARRAY"
    checks = json.loads(harness.gradingctl("--json", "-d", bare_db.conninfo, "doctor").stdout)["checks"]
    assert [line for line in checks if line["state"] != "ok" and line["check"] != "daemon"] == []


def test_the_applications_own_objects_are_left_alone(bare_db):
    adopted(bare_db)
    names = {row.indexname for row in bare_db.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'grading_jobs'")}
    assert {"idx_grading_jobs_status", "idx_grading_jobs_session_id"} <= names
    assert bare_db.value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'grading_jobs'::regclass AND contype = 'f'") == 1
    assert bare_db.value("SELECT phrase FROM phrase_cache") == "Hello"


def test_adopted_tables_are_worked_on(make_pool, bare_db):
    """Waiting jobs are rated, finished ones left, a lost worker's job is found by the reaper."""
    db = adopted(bare_db, rows="""
        INSERT INTO live_sessions (id) VALUES ('00000000-0000-4000-8000-000000000001');
        INSERT INTO grading_jobs (session_id, job_type, job_data, status, started_at, attempts, completed_at, failed_at, error)
        SELECT '00000000-0000-4000-8000-000000000001', 'line_rating', jsonb_build_object('transcript', jsonb_build_array(
                   jsonb_build_object('speaker', 'rep', 'text', 'Line of ' || status, 'index', n))), status,
               CASE status WHEN 'processing' THEN now() - interval '1 hour' END, 0,
               CASE status WHEN 'completed' THEN now() END, CASE status WHEN 'failed' THEN now() END,
               CASE status WHEN 'failed' THEN 'as it was' END
        FROM unnest(array['pending', 'processing', 'completed', 'failed']) WITH ORDINALITY AS s(status, n)""")
    make_pool(db)
    wait_until(lambda: db.count("completed") == 3)
    session = "00000000-0000-4000-8000-000000000001"
    assert [r.line_text for r in db.ratings(session)] == ["Line of pending", "Line of processing"]
    assert db.value("SELECT error FROM grading_jobs WHERE status = 'failed'") == "as it was"
    job = db.insert(rep("Fresh.", first=9), session=session)
    assert db.wait(job, "completed")
    assert db.session(session).completed_batches == 3


def test_a_session_deleted_by_its_application_takes_its_jobs_along(make_openai_pool, bare_db, llm):
    """ON DELETE CASCADE while a job is being rated: the result is dropped, nothing breaks."""
    pool = make_openai_pool(adopted(bare_db))
    llm.behave({"hold": "answer"})
    session = bare_db.value("INSERT INTO live_sessions DEFAULT VALUES RETURNING id")
    bare_db.insert(session=session)
    wait_until(lambda: llm.in_flight == 1)
    bare_db.rows("DELETE FROM live_sessions")
    llm.release()
    pool.wait_metric("claims_lost_total", 1)


def test_nulls_where_an_earlier_table_allows_them_are_no_obstacle(make_pool, bare_db):
    db = adopted(bare_db, POOR)
    make_pool(db)
    job = db.insert(id=new_session(), attempts=None, max_attempts=None, created_at=None) if nullable(db, "attempts") \
        else db.insert(id=new_session(), created_at=None)
    db.wait(job, "completed")
    nameless = db.insert(id=new_session(), job_type=None)
    assert "job_type" in db.wait(nameless, "failed", "completed").error


def nullable(db, column):
    return db.value("SELECT is_nullable FROM information_schema.columns WHERE table_name = 'grading_jobs'"
                    " AND column_name = %s", column) == "YES"


def test_a_large_table_is_neither_rewritten_nor_read_only_meanwhile(bare_db):
    db = bare_db
    db.rows(APPLICATION)
    db.rows("INSERT INTO live_sessions (id) VALUES ('00000000-0000-4000-8000-000000000001')")
    db.rows("ALTER TABLE grading_jobs DISABLE TRIGGER ALL")
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, status, completed_at) SELECT"
            " '00000000-0000-4000-8000-000000000001', 'line_rating', '{}', 'completed', now() - interval '3 hours'"
            " FROM generate_series(1, 200000)")
    db.rows("ALTER TABLE grading_jobs ENABLE TRIGGER ALL")
    where = "SELECT relfilenode, pg_relation_size(oid) FROM pg_class WHERE relname = 'grading_jobs'"
    rows = "SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY ctid)) FROM grading_jobs"
    before = db.row(where), db.value(rows)
    insert_meanwhile(db, lambda: migrate(db.conninfo))
    db.rows("DELETE FROM grading_jobs WHERE status = 'pending'")
    assert (db.row(where)[0], db.value(rows)) == (before[0][0], before[1])


SESSION = "00000000-0000-4000-8000-000000000001"


def many_pending(db, n, table=APPLICATION, columns=""):
    """An application's table with many jobs that wait, all inserted an hour ago."""
    db.rows(table)
    if "live_sessions" in table:
        db.rows("INSERT INTO live_sessions (id) VALUES (%s)", SESSION)
    db.rows("INSERT INTO grading_jobs (id, session_id, job_type, job_data, created_at) SELECT gen_random_uuid(), %s,"
            " 'line_rating', '{}', now() - interval '1 hour' FROM generate_series(1, %s)", SESSION, n)
    db.rows(columns or "SELECT 1")
    db.rows("CREATE TABLE changed (n bigint)")
    db.rows("CREATE FUNCTION count_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changed"
            " SELECT count(*) FROM new; RETURN NULL; END $$")
    db.rows("CREATE TRIGGER count_changed AFTER UPDATE ON grading_jobs REFERENCING NEW TABLE AS new"
            " EXECUTE FUNCTION count_changed()")


def test_many_pending_jobs_are_changed_in_small_steps(bare_db):
    """Each step holds its rows for an instant: an application that changes them hardly waits."""
    many_pending(bare_db, 100000)
    migrate(bare_db.conninfo)
    assert bare_db.value("SELECT count(*) FROM grading_jobs WHERE available_at <> created_at") == 0
    assert bare_db.value("SELECT sum(n) FROM changed") == 100000
    assert bare_db.value("SELECT max(n) FROM changed") < 25000


def test_by_psql_the_same_rows_are_changed(bare_db):
    many_pending(bare_db, 1000)
    migrate_by_psql(bare_db.conninfo)
    assert bare_db.value("SELECT count(*) FROM grading_jobs WHERE available_at <> created_at") == 0


def test_columns_without_defaults_are_filled_before_the_table_is_locked(bare_db):
    """092 takes the table for itself while it fills them."""
    many_pending(bare_db, 50000, POOR, "ALTER TABLE grading_jobs ADD priority int, ADD available_at timestamptz")
    migrate(bare_db.conninfo)
    assert bare_db.value("SELECT count(*) FROM grading_jobs WHERE priority = 0 AND available_at = created_at") == 50000
    assert bare_db.value("SELECT max(n) FROM changed") < 25000


def test_a_row_that_somebody_has_locked_holds_up_nobody_else(bare_db):
    """The migration waits for it in the end, with none of the others in its hands."""
    many_pending(bare_db, 2000)
    migrate(bare_db.conninfo)
    bare_db.rows("UPDATE grading_jobs SET available_at = now(), claim = 0")
    bare_db.rows("DELETE FROM changed")
    bare_db.rows("DELETE FROM grading_migrations WHERE version = 86")
    held = bare_db.value("SELECT id FROM grading_jobs LIMIT 1")
    with bare_db.connect(autocommit=False) as other:
        other.execute("SELECT FROM grading_jobs WHERE id = %s FOR UPDATE", (held,))
        migration = threading.Thread(target=lambda: migrate(bare_db.conninfo))
        migration.start()
        wait_until(lambda: bare_db.value("SELECT coalesce(sum(n), 0) FROM changed") == 1999)
        with bare_db.connect() as conn:
            conn.execute("SET lock_timeout = '1s'")
            conn.execute("UPDATE grading_jobs SET error = 'x' WHERE id <> %s", (held,))
    migration.join(harness.PATIENCE_S)
    assert not migration.is_alive()
    assert bare_db.value("SELECT count(*) FROM grading_jobs WHERE available_at <> created_at") == 0


def test_what_is_changed_ahead_is_what_the_files_say():
    """Their statements, word for word, so that they find nothing left to do."""
    source = (harness.ROOT / "src/ctl/migrate_ahead.c").read_text(encoding="utf-8")
    source = " ".join(re.sub(r'"\s*"', "", source).split())
    ahead = re.findall(r'\{ (\d+), "(\w+)", "[^"]*", "([^"]*)", "([^"]*)" \}', source)
    assert [version for version, *_ in ahead] == ["86", "92"]
    for version, table, values, where in ahead:
        path, = harness.ROOT.glob(f"migrations/0{version}_*.sql")
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert f"UPDATE {table} SET {values} WHERE {where};" in text


def insert_meanwhile(db, action):
    """Inserts one row after the other as an application does while action() runs; none waits for a lock for long."""
    over = threading.Event()

    def insert():
        with db.connect() as conn:
            conn.execute("SET lock_timeout = '5s'")
            while not over.is_set():
                conn.execute("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES"
                             " ('00000000-0000-4000-8000-000000000001', 'line_rating', '{}')")

    def act():
        try:
            action()
        finally:
            over.set()

    together(insert, act)


def test_a_status_outside_the_four_is_refused_afterwards(bare_db):
    adopted(bare_db, POOR)
    with pytest.raises(harness.psycopg.errors.CheckViolation):
        bare_db.insert(id=new_session(), status="espresso")


def test_new_keys_are_in_order_of_time(db):
    keys = [str(db.insert()) for _ in range(50)]
    millis = [key[:13] for key in keys]
    assert millis == sorted(millis) and all(key[14] == "7" for key in keys)
    assert db.value("INSERT INTO grading_jobs (id, session_id) VALUES (%s, %s) RETURNING id::text",
                    "00000000-0000-4000-8000-00000000000a", new_session()) == "00000000-0000-4000-8000-00000000000a"


def test_an_index_left_invalid_is_built_again(bare_db):
    migrate_by_psql(bare_db.conninfo)
    bare_db.rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'grading_jobs_turns'::regclass")
    migrate_by_psql(bare_db.conninfo)
    assert bare_db.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'grading_jobs_turns'::regclass")


def test_the_functions_take_named_arguments_as_postgrest_sends_them(db):
    assert db.value("SELECT grading_enqueue(session_id => %s, transcript => %s::jsonb, sales_rep_name => 'a',"
                    " customer_name => 'b', batch_size => 2, priority => 1)", new_session(), json.dumps(rep("A.", "B.", "C."))) == 2


def test_a_priority_and_a_time_without_defaults_are_adopted(bare_db, make_pool):
    """As an application may have made them; rows that wait already are claimed, too."""
    bare_db.rows("CREATE TABLE grading_jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), session_id uuid,"
                 " job_type text, job_data jsonb, status text DEFAULT 'pending', created_at timestamptz DEFAULT now(),"
                 " priority integer, available_at timestamptz)")
    insert = ("INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (gen_random_uuid(), 'line_rating',"
              " '{\"transcript\": [{\"speaker\": \"rep\", \"text\": \"Hi.\"}]}')")
    bare_db.rows(insert)
    migrate(bare_db.conninfo)
    bare_db.rows(insert)
    make_pool(bare_db)
    wait_until(lambda: bare_db.count("completed") == 2)


# As an application may have made them, each column of them.
TYPES = {
    "grading_jobs": {
        "id": "uuid", "session_id": "uuid", "job_type": "text", "job_data": "jsonb", "status": "text", "result": "jsonb",
        "error": "text", "attempts": "integer", "max_attempts": "integer", "created_at": "timestamptz",
        "started_at": "timestamptz", "completed_at": "timestamptz", "failed_at": "timestamptz", "updated_at": "timestamptz",
        "priority": "integer", "available_at": "timestamptz"},
    "phrase_cache": {
        "cache_key": "text", "phrase": "text", "alternatives": "text[]", "rating": "text", "context": "text",
        "created_at": "timestamptz"},
}


def table_of(table, column=None, kind=None):
    columns = {**TYPES[table], **({column: kind} if column else {})}
    return f"CREATE TABLE {table} ({', '.join(f'{name} {of}' for name, of in columns.items())})"


# Column, a type that does not do, and what it must be.
USELESS = [("grading_jobs.result", "json", "jsonb"), ("grading_jobs.job_data", "json", "jsonb"), ("grading_jobs.job_data", "text", "jsonb"),
           ("grading_jobs.id", "bigint", "uuid"), ("grading_jobs.session_id", "text", "uuid"), ("grading_jobs.status", "mood", "text"),
           ("grading_jobs.attempts", "text", "integer"), ("grading_jobs.priority", "text", "integer"),
           ("grading_jobs.available_at", "text", "timestamp with time zone"), ("grading_jobs.created_at", "bigint", "timestamp with time zone"),
           ("grading_jobs.available_at", "timestamp", "timestamp with time zone"), ("grading_jobs.completed_at", "date", "timestamp with time zone"), ("grading_jobs.error", "jsonb", "text"),
           ("grading_jobs.result", "my_json", "jsonb"), ("phrase_cache.alternatives", "jsonb", "text[]"),
           ("phrase_cache.created_at", "text", "timestamp with time zone"), ("phrase_cache.rating", "integer", "text")]


@pytest.mark.parametrize("where, kind, wanted", USELESS, ids=[f"{where} {kind}" for where, kind, _ in USELESS])
def test_a_column_of_a_type_that_does_not_do_is_named_before_anything_is_done(bare_db, where, kind, wanted):
    table, column = where.split(".")
    bare_db.rows("CREATE TYPE mood AS ENUM ('pending'); CREATE DOMAIN my_json AS json")
    bare_db.rows(table_of(table, column, kind))
    done = harness.gradingctl("-d", bare_db.conninfo, "migrate")
    shown = {"my_json": "json", "timestamp": "timestamp without time zone"}.get(kind, kind)
    assert done.returncode == 1
    assert (f"nothing was done: {table}.{column} is of type {shown}; it must be {wanted}: ALTER TABLE {table} ALTER {column}"
            f" TYPE {wanted} USING {column}::{wanted}") in done.stderr
    assert bare_db.value("SELECT array_agg(relname::text) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                         ) == [table]
    assert bare_db.value("SELECT count(*) FROM information_schema.columns WHERE table_name = %s", table) == len(TYPES[table])


def test_all_columns_that_do_not_do_are_counted(bare_db):
    bare_db.rows(table_of("grading_jobs", "result", "json") + ";" + table_of("phrase_cache", "alternatives", "text"))
    done = harness.gradingctl("-d", bare_db.conninfo, "migrate")
    assert done.returncode == 1 and "grading_jobs.result is of type json" in done.stderr
    assert "and 1 more of our columns" in done.stderr


# What an application may have instead, and works.
USEFUL = [("status", "varchar(20)"), ("job_type", "varchar"), ("error", "varchar(60)"), ("attempts", "bigint"), ("attempts", "smallint"),
          ("max_attempts", "smallint"), ("priority", "bigint"), ("result", "some_json"), ("error", "words"), ("session_id", "key"),
          ("created_at", "timestamp"), ("started_at", "timestamp"), ("updated_at", "timestamp(3)"), ("completed_at", "timestamp"),
          ("failed_at", "timestamp")]


@pytest.mark.parametrize("column, kind", USEFUL, ids=[" ".join(pair) for pair in USEFUL])
def test_a_column_of_another_type_that_does(bare_db, make_pool, column, kind):
    bare_db.rows("CREATE DOMAIN some_json AS jsonb; CREATE DOMAIN words AS varchar(80); CREATE DOMAIN key AS uuid")
    bare_db.rows(table_of("grading_jobs", column, kind))
    migrate(bare_db.conninfo)
    bare_db.rows("ALTER TABLE grading_jobs ADD PRIMARY KEY (id)")
    pool = make_pool(bare_db, queue={"poll": "200ms"})
    good, bad = bare_db.insert(), bare_db.insert([7])
    for job, status in (good, "completed"), (bad, "failed"):
        assert bare_db.wait(job, "completed", "failed").status == status
    assert bare_db.value("SELECT grading_retry(session_id) FROM grading_jobs WHERE id = %s", bad) == 1
    bare_db.wait(bad, "failed")
    session = new_session()
    assert bare_db.value("SELECT grading_enqueue(%s, %s::jsonb)", session, json.dumps(rep("A.", "B."))) == 1
    wait_until(lambda: len(bare_db.ratings(session)) == 2)
    assert pool.run("-t").returncode == 0
