"""The daemon's statements as psql reads them: their files, their parameters, their plans."""
import datetime
import json
import re
import subprocess

import psycopg
import pytest

import harness

FILES = sorted((harness.ROOT / "src/queue/sql").glob("*.sql"))
PLANLESS = {"begin", "commit"}
# As pg/pgsettings.c sets them: a sequential scan is planned only where there is no index.
SETTINGS = ("enable_seqscan = off", "enable_nestloop = off", "jit = off",
            "plan_cache_mode = force_generic_plan")
TABLES = {"grading_jobs", "grading_sessions", "line_ratings", "phrase_cache", "phrase_flights",
          "grading_provenance", "grading_webhook_outbox"}


def squeezed(sql):
    return re.sub(r"\s+", "", re.sub(r"--.*", "", sql))


def test_each_file_is_a_statement(statements):
    assert set(statements) == {path.stem for path in FILES} - PLANLESS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_psql_reads_the_file(db, path):
    psql = [harness.postgres_tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run([*psql, "-f", path.name, db.conninfo], cwd=path.parent, text=True,
                          capture_output=True, check=False, timeout=harness.PATIENCE_S)
    assert done.returncode == 0, done.stderr


def test_parameters_have_the_types_that_the_files_name(db, statements):
    """The daemon names none: the server takes them from the text."""
    with db.connect() as conn:
        for name, (types, text) in statements.items():
            named = f"({', '.join(types)})" if types else ""
            conn.execute(f"PREPARE {name}_named {named} AS {text}".encode())
            conn.execute(f"PREPARE {name}_found AS {text}".encode())
        found = dict(conn.execute("SELECT name, parameter_types::text[]"
                                  " FROM pg_prepared_statements").fetchall())
    assert len(found) == 2 * len(statements)
    for name, (types, _) in statements.items():
        assert found[f"{name}_named"] == found[f"{name}_found"], name
        assert len(types) == len(found[f"{name}_found"]), name


def prepare_statement(conn, name, types, text):
    named = f"({', '.join(types)})" if types else ""
    conn.execute(f"PREPARE {name} {named} AS {text}".encode())


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explain(conn, name, types):
    nulls = f"({', '.join(['NULL'] * len(types))})" if types else ""
    plan = conn.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{nulls}".encode()).fetchone()[0]
    return list(nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]))


def fill(db):
    """A queue of some age: most of it is finished."""
    db.rows("INSERT INTO grading_sessions (session_id) SELECT gen_random_uuid()"
            " FROM generate_series(1, 2000)")
    db.rows("INSERT INTO grading_jobs (session_id, job_data, status, started_at, completed_at)"
            " SELECT gen_random_uuid(), '{}', CASE WHEN n % 50 = 0 THEN 'pending'"
            " WHEN n % 51 = 0 THEN 'processing' ELSE 'completed' END, now(), now()"
            " FROM generate_series(1, 20000) n")
    db.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating)"
            " SELECT gen_random_uuid(), 1, 'x', 'good' FROM generate_series(1, 5000)")
    db.rows("INSERT INTO phrase_cache (cache_key, phrase, rating)"
            " SELECT 'key ' || n, 'x', 'good' FROM generate_series(1, 5000) n")
    db.rows("INSERT INTO phrase_flights (cache_key, asker, until)"
            " SELECT 'key ' || n, 'x', now() FROM generate_series(1, 2000) n")
    db.rows("INSERT INTO grading_provenance (id, document)"
            " SELECT gen_random_uuid(), '{}' FROM generate_series(1, 2000)")
    db.rows("INSERT INTO grading_webhook_outbox (id, hook, session_id, type, data, state, ended_at)"
            " SELECT gen_random_uuid(), 'h' || n % 3, gen_random_uuid(), 'session.ended', '{}',"
            " CASE WHEN n % 10 = 0 THEN 'waiting' ELSE 'delivered' END, now()"
            " FROM generate_series(1, 5000) n")
    db.rows("ANALYZE")


@pytest.mark.parametrize("prepare", [lambda db: None, fill], ids=["empty", "full"])
def test_no_plan_reads_a_table_as_a_whole(db, statements, prepare):
    """Nor does one that was made while the tables were empty: plans last as a connection does."""
    prepare(db)
    with db.connect() as conn:
        for setting in SETTINGS:
            conn.execute(f"SET {setting}".encode())
        for name, (types, text) in statements.items():
            prepare_statement(conn, name, types, text)
            plan = explain(conn, name, types)
            assert plan, name
            for node in plan:
                whole = node["Node Type"] == "Seq Scan"
                assert not whole or node["Relation Name"] not in TABLES, (name, node)


def test_a_claim_finds_its_jobs_by_its_own_index_whatever_the_planner_likes(db, statements):
    fill(db)
    with db.connect() as conn:
        conn.execute("SET plan_cache_mode = force_generic_plan")
        for name in ("claim", "claim_briefly", "hold"):
            types, text = statements[name]
            prepare_statement(conn, name, types, text)
            nodes = [node for node in explain(conn, name, types) if node.get("Index Name", "").startswith("grading_jobs")]
            siblings = {"grading_jobs_open", "grading_jobs_remarkable"}
            used = {node["Index Name"] for node in nodes} - siblings
            assert "grading_jobs_turns" in used, name
            assert used <= {"grading_jobs_turns", "grading_jobs_pkey"}, name
            # Others of a session, where lines have no index of their own.
            assert siblings <= {node["Index Name"] for node in nodes}, name


@pytest.mark.parametrize("prepare", [lambda db: None, fill], ids=["empty", "full"])
def test_a_settlement_hashes_its_jobs_not_its_lines(db, statements, prepare):
    """There are several lines a job, and they have texts."""
    prepare(db)
    with db.connect() as conn:
        for setting in SETTINGS:
            conn.execute(f"SET {setting}".encode())
        for name in ("complete", "complete_held"):
            types, text = statements[name]
            prepare_statement(conn, name, types, text)
            hashed = [node for whole in explain(conn, name, types) if whole["Node Type"] == "Hash"
                      for node in nodes(whole)]
            names = {node.get("CTE Name", node.get("Alias")) for node in hashed}
            assert "placed" in names, name
            assert not names & {"l", "line"}, name


def test_the_functions_count_by_the_rule_of_the_statements():
    """counters.sql, and what grading_count() does with its arguments, are one text."""
    functions = (harness.ROOT / "migrations/functions.sql").read_text(encoding="utf-8")
    for piece, length in ("counters", 1000), ("taken_back", 400):
        path = harness.ROOT / f"src/queue/sql/pieces/{piece}.sql"
        rule = squeezed(path.read_text(encoding="utf-8"))
        assert len(rule) > length and squeezed(functions).count(rule) == 1
    assert functions.count("failed_batches =") == 1


# The floor and the pass, each as (hours from when the jobs are available, which job of twelve).
@pytest.mark.parametrize("floor, passed, first", [
    ((0, 7), (0, 2), 7), ((0, 2), (0, 7), 7), ((0, 5), (0, 5), 5), ((0, 3), (-1, 9), 3), ((-1, 9), (0, 3), 3)])
def test_a_claim_begins_at_the_later_one_of_its_floor_and_its_pass(db, statements, floor, passed, first):
    """All rows of an INSERT have the same available_at: places are told apart by the id as well."""
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, available_at) SELECT gen_random_uuid(),"
            " 'line_rating', '{}', now() - interval '2 hours' FROM generate_series(1, 12)")
    jobs = db.rows("SELECT id, available_at FROM grading_jobs ORDER BY available_at, id")

    def place(hours, which):
        return jobs[0].available_at + datetime.timedelta(hours=hours), jobs[which].id

    with db.connect() as conn:
        for name in ("peek", "hold", "claim", "claim_briefly"):
            types, text = statements[name]
            prepare_statement(conn, name, types, text)
            values = [12, [0], [0], [0], [0], *([value] for value in place(*floor)), 0,
                      *([value] for value in place(*passed)), 2**20, "nobody/1"][:len(types)]
            found = psycopg.ClientCursor(conn, row_factory=psycopg.rows.tuple_row).execute(
                f"EXECUTE {name} ({', '.join(f'%s::{kind}' for kind in types)})", values).fetchall()
            conn.execute("UPDATE grading_jobs SET status = 'pending'")
            assert [row[0] for row in found] == [job.id for job in jobs[first:]], name
