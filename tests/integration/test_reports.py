"""Views for reports: their columns stay, and who may read what."""
import contextlib

import psycopg
import pytest

from harness import gradingctl, rep

# What reports were written against: a line here is a promise.
COLUMNS = {
    "grading_bi_lines": "session_id uuid, line_index integer, tenant text, profile text, rating text, line_text text,"
                        " alternatives text[], reason text, cached boolean, rated_at timestamp with time zone,"
                        " rater text, model text, prompt text",
    "grading_bi_sessions": "session_id uuid, tenant text, profile text, status text, total_batches integer,"
                           " completed_batches integer, failed_batches integer, total_lines integer,"
                           " rated_lines integer, skipped_lines integer, created_at timestamp with time zone,"
                           " started_at timestamp with time zone, first_rated_at timestamp with time zone,"
                           " completed_at timestamp with time zone, seconds_to_first_rating numeric(12,3),"
                           " seconds_to_completion numeric(12,3)",
    "grading_bi_days": "day date, tenant text, profile text, rater text, model text, rating text, lines bigint,"
                       " cached_lines bigint, sessions bigint",
}


@contextlib.contextmanager
def as_role(db, role):
    with contextlib.closing(db.connect(options=f"-c role={role}")) as conn:
        yield conn


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_stay_and_new_ones_come_last(db, view):
    assert db.value("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
                    " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", view).startswith(COLUMNS[view])


def test_reports_say_what_was_rated(pool, db):
    db.completed(rep("Hello.", "What brought you here?"))
    db.completed(rep("Hello."))
    lines = db.rows("SELECT * FROM grading_bi_lines ORDER BY cached, line_index")
    assert [(line.line_text, line.cached, line.rater, line.model) for line in lines] == [
        ("Hello.", False, "rubric", "rubric"), ("What brought you here?", False, "rubric", "rubric"),
        ("Hello.", True, "rubric", "rubric")]
    assert lines[0].prompt == db.value("SELECT min(document ->> 'prompt') FROM grading_provenance")
    days = db.rows("SELECT * FROM grading_bi_days")
    assert sum(day.lines for day in days) == 3 and sum(day.cached_lines for day in days) == 1
    assert {day.rating for day in days} == {line.rating for line in lines}
    sessions = db.rows("SELECT * FROM grading_bi_sessions ORDER BY rated_lines")
    assert [(s.status, s.rated_lines, s.completed_batches) for s in sessions] == [
        ("completed", 1, 1), ("completed", 2, 1)]
    assert all(0 <= s.seconds_to_first_rating <= s.seconds_to_completion for s in sessions)


def test_a_reader_reads_ratings_and_nothing_else(pool, db):
    db.completed(rep("Hello."))
    with as_role(db, "grading_reader") as conn:
        for view in [*COLUMNS, "grading_line_ratings", "line_ratings", "grading_sessions"]:
            assert len(conn.execute(f"SELECT * FROM {view}").fetchall()) == 1, view
        for refused in ("SELECT FROM grading_jobs", "SELECT FROM phrase_cache", "DELETE FROM line_ratings",
                        "UPDATE grading_sessions SET total_lines = 0", "SELECT grading_cancel(gen_random_uuid())",
                        "UPDATE grading_bi_sessions SET total_lines = 0"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(refused)


@pytest.mark.parametrize("words", [["export"], ["progress", "{}"], ["ratings", "{}", "--csv"]])
def test_gradingctl_serves_a_reader(pool, db, words):
    job, _ = db.completed(rep("Hello."))
    done = gradingctl("-d", db.conninfo + " options='-c role=grading_reader'",
                      *[word.format(job.session_id) for word in words])
    assert done.returncode == 0 and str(job.session_id) in done.stdout, done.stderr


def test_a_view_shows_no_more_than_its_reader_may_see(pool, db):
    """Security by rows is the reader's own where Postgres knows of that; before 15 no right is given to such roles."""
    db.completed(rep("Hello."))
    db.rows("CREATE ROLE narrow; GRANT SELECT ON line_ratings, grading_sessions, grading_provenance TO narrow;"
            " CREATE POLICY narrow ON line_ratings TO narrow USING (false);"
            " CREATE POLICY narrow ON grading_sessions TO narrow USING (false)")
    try:
        with as_role(db, "narrow") as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("SELECT FROM grading_bi_lines")
        if db.value("SELECT current_setting('server_version_num')::int") >= 150000:
            db.rows("".join(f"GRANT SELECT ON {view} TO narrow;" for view in COLUMNS))
            with as_role(db, "narrow") as conn:
                assert [conn.execute(f"SELECT * FROM {view}").fetchall() for view in COLUMNS] == [[], [], []]
    finally:
        db.rows("DROP OWNED BY narrow; DROP ROLE narrow")
