"""gradingctl export: every rating once, whatever is committed late and wherever an export was interrupted."""
import collections
import contextlib
import json
import random

import pytest

from harness import gradingctl, new_session, rep

INSERT = """
    WITH s AS (INSERT INTO grading_sessions (session_id) VALUES (%s) ON CONFLICT (session_id)
               DO UPDATE SET updated_at = now() RETURNING session_id)
    INSERT INTO line_ratings (session_id, line_index, line_text, rating, seq)
    SELECT session_id, %s, 'text', 'good', nextval('grading_cursors') FROM s
    ON CONFLICT (session_id, line_index) DO UPDATE SET rating = 'poor', seq = excluded.seq"""


def export(db, *words, status=0, **options):
    result = gradingctl("-d", db.conninfo + options.get("more", ""), "export", *words)
    assert result.returncode == status, result.stderr
    return result.stderr if status else [json.loads(line) for line in result.stdout.splitlines()]


def keys(lines):
    return [(line["session_id"], line["line_index"]) for line in lines]


def test_lines_say_what_the_tables_say(pool, db):
    job, ratings = db.completed(rep("Hello.", "=1+1\u001b[31m\u009b", "Grüße"), tenant="north")
    lines = export(db)
    assert keys(lines) == [(str(job.session_id), row.line_index) for row in ratings]
    for line, row in zip(lines, ratings):
        assert (line["line_text"], line["rating"], line["alternatives"], line["reason"], line["cached"]) == (
            row.line_text, row.rating, row.alternatives, row.reason, row.cached)
        assert line["job_id"] == str(job.id) and line["provenance"] == row.provenance
        assert line["rated_at"] == row.rated_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert "\x1b" not in gradingctl("-d", db.conninfo, "export").stdout
    assert [keys(export(db, "--after", line["cursor"])) for line in lines] == [keys(lines)[n:] for n in (1, 2, 3)]


def test_since_a_time(db):
    old, new = new_session(), new_session()
    for session in (old, new):
        db.rows(INSERT, session, 0)
    db.rows("UPDATE line_ratings SET rated_at = '2026-01-31 23:59:59.999999Z' WHERE session_id = %s", old)
    db.rows("UPDATE line_ratings SET rated_at = '2026-02-01 00:00:00Z' WHERE session_id = %s", new)
    assert keys(export(db, "--since", "2026-02-01")) == [(str(new), 0)], "a day of UTC"
    assert len(export(db, "--since", "2026-02-01 00:59:59.999999+01:00")) == 2
    assert export(db, "--since", "tomorrow") == []
    first = export(db, "--since", "2026-01-01")[0]
    assert len(export(db, "--after", first["cursor"])) == 1, "the rest of what the time had begun"


def test_what_is_committed_late_is_not_missed(db):
    early, late = sorted([new_session(), new_session()], key=str)
    db.rows(INSERT, early, 0)
    cursor = export(db)[0]["cursor"]
    with contextlib.closing(db.connect(autocommit=False)) as other:
        other.execute(INSERT, [early, 1])
        db.rows(INSERT, late, 0)
        assert export(db, "--after", cursor) == [], "not before all that was begun earlier is over"
        other.commit()
    lines = export(db, "--after", cursor)
    assert keys(lines) == [(str(early), 1), (str(late), 0)]
    assert export(db, "--after", lines[-1]["cursor"]) == []
    db.rows(INSERT, early, 0)
    changed = export(db, "--after", lines[-1]["cursor"])
    assert keys(changed) == [(str(early), 0)] and changed[0]["rating"] == "poor"
    assert keys(export(db, "--after", lines[0]["cursor"])) == [(str(late), 0), (str(early), 0)]


def test_interrupted_exports_bring_each_rating_once(db):
    """Ratings come in meanwhile, some of them again, and each export ends at any of its lines."""
    dice = random.Random(4711)
    sessions = [new_session() for _ in range(40)]
    versions, written, cursor = collections.Counter(), [], []
    for _ in range(25):
        for _ in range(dice.randrange(30)):
            session, line = dice.choice(sessions), dice.randrange(20)
            db.rows(INSERT, session, line)
            versions[str(session), line] += 1
        lines = export(db, *cursor)
        written += lines[:dice.randrange(len(lines) + 1)]
        cursor = ["--after", written[-1]["cursor"]] if written else []
    for _ in range(2):      # what is left of the pass, then what came meanwhile
        lines = export(db, *cursor)
        written += lines
        cursor = ["--after", written[-1]["cursor"]]
    assert export(db, *cursor) == []
    told = collections.Counter(keys(written))
    assert set(told) == set(versions) and all(told[key] <= versions[key] for key in told)
    last = dict(zip(keys(written), (line["rating"] for line in written)))
    assert last == {key: "good" if n == 1 else "poor" for key, n in versions.items()}


def test_a_role_of_applications_may_export(db):
    db.rows(INSERT, new_session(), 0)
    assert len(export(db, more=" options='-c role=grading_app'")) == 1


@pytest.mark.parametrize("words, said", [
    (["--since", "blah"], "invalid input syntax"), (["--after", "17"], "this is none: 17"),
    (["--after", "x1.17.0.5.6f1f0000-0000-4000-8000-000000000001.3"], "of another database"),
    (["--after", "x1.17.0.5.6f1f0000-0000-4000-8000-000000000001.3", "--since", "now"], "not both")])
def test_a_cursor_or_time_that_is_none_is_refused(db, words, said):
    assert said in export(db, *words, status=1)


def test_a_cursor_of_later_than_now_is_refused(db):
    """The database was restored to an earlier time."""
    db.rows(INSERT, new_session(), 0)
    form, cluster, begin, _, *place = export(db)[0]["cursor"].split(".")
    assert "restored to an earlier" in export(db, "--after", ".".join([form, cluster, begin, "99999999999", *place]),
                                              status=1)
