"""The mirror: live_sessions shows each session as the application's pages read it, whatever the application does there."""
import json
import os
import signal
import threading
import time

import psycopg
import pytest

import harness
from harness import Jsonb, gradingctl, new_session, rep, stays, wait_until
from test_doctor import examine
from test_pgbouncer import BOUNCER, bouncer  # noqa: F401 (a fixture)

KEYS = {"line_ratings", "line_ratings_status", "line_ratings_total_batches", "line_ratings_completed_batches"}

# As the application has it: a trigger of its own derives grading_status, and for one status a value that the CHECK
# forbids; an update that changes the status itself passes.
TABLE = """
    CREATE TABLE live_sessions (id uuid PRIMARY KEY, user_id uuid, analytics jsonb, full_transcript jsonb,
        grading_status text DEFAULT 'pending'
            CHECK (grading_status IN ('pending', 'queued', 'processing', 'complete', 'failed')));
    CREATE FUNCTION derive_status() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.grading_status IS NOT DISTINCT FROM OLD.grading_status
           AND NEW.analytics ->> 'line_ratings_status' IS NOT NULL THEN
            NEW.grading_status := NEW.analytics ->> 'line_ratings_status';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER derive BEFORE UPDATE OF analytics ON live_sessions FOR EACH ROW EXECUTE FUNCTION derive_status();
"""


def dialogue(lines, name):
    """A transcript of both speakers in turn, some of its lines equal to others."""
    return [{"id": f"{name}-{n}", "speaker": "rep" if n % 2 == 0 else "customer",
             "text": "I see." if n % 10 == 4 else f"Line {n} of {name}."} for n in range(lines)]


@pytest.fixture
def app(db):
    """The test's database, with the application's table."""
    db.rows(TABLE)
    return db


def put_session(db, transcript=None, analytics=None):
    session = new_session()
    db.rows("INSERT INTO live_sessions (id, analytics, full_transcript) VALUES (%s, %s, %s)", session,
            Jsonb({"talk_ratio": 0.4} if analytics is None else analytics), Jsonb(transcript))
    return session


def put_jobs(db, session, transcript, size=5):
    """The rep's lines alone, without an index, as the application inserts them."""
    lines = [{"speaker": line["speaker"], "text": line["text"]} for line in transcript if line["speaker"] == "rep"]
    batches = [lines[n:n + size] for n in range(0, len(lines), size)]
    for n, batch in enumerate(batches):
        db.insert(session=session, job_data={"transcript": batch, "batchIndex": n, "batchSize": len(batch),
                                             "totalBatches": len(batches)})
    return len(batches)


def row(db, session):
    return db.row("SELECT *, xmin::text AS version FROM live_sessions WHERE id = %s", session)


def analytics(db, session):
    return row(db, session).analytics or {}


def is_shown(db, session, status="completed"):
    shown = analytics(db, session)
    return isinstance(shown, dict) and shown.get("line_ratings_status") == status and shown


def wait_shown(db, session, status="completed"):
    return wait_until(lambda: is_shown(db, session, status), what=f"session {session} shown as {status}")


def right_lines(shown, transcript):
    """Each rating stands at the line of the transcript that has its text, in order; all of the rep's are there."""
    indexes = [line["line_index"] for line in shown["line_ratings"]]
    assert indexes == [n for n, line in enumerate(transcript) if line["speaker"] == "rep"]
    for line in shown["line_ratings"]:
        assert transcript[line["line_index"]]["text"] == line["line_text"]
        assert line["rating"] in harness.SCALE
        assert isinstance(line["alternatives"], list) and isinstance(line["cached"], bool)


def refuse(db, session, how="RAISE EXCEPTION 'not this one'"):
    db.rows("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.id = '{session}' THEN {how}; END IF; RETURN NEW; END $$")
    db.rows("CREATE TRIGGER a_refuses BEFORE UPDATE ON live_sessions FOR EACH ROW EXECUTE FUNCTION refuse()")


# ---- what is shown ----

def test_a_session_is_shown_at_the_lines_of_its_transcript(app, make_pool):
    transcript = dialogue(36, "one")
    session = put_session(app, transcript)
    make_pool(app)
    batches = put_jobs(app, session, transcript)
    shown = wait_shown(app, session)
    right_lines(shown, transcript)
    assert shown["talk_ratio"] == 0.4
    assert shown["line_ratings_total_batches"] == shown["line_ratings_completed_batches"] == batches == 4
    assert row(app, session).grading_status == "complete"       # in the form that the CHECK allows


@pytest.mark.parametrize("allowed", [("pending", "in_progress", "done", "error"), ("Queued", "Processing", "Finished",
                                                                                  "Failed")])
def test_a_status_is_written_in_the_form_that_the_check_allows(app, make_pool, allowed):
    """And the same again, when the row has it already and the trigger heeds a change alone."""
    app.rows("ALTER TABLE live_sessions DROP CONSTRAINT live_sessions_grading_status_check, ALTER grading_status"
             f" SET DEFAULT '{allowed[0]}', ADD CHECK (grading_status IN {allowed})")
    session = put_session(app, dialogue(4, "x"))
    make_pool(app)
    put_jobs(app, session, dialogue(4, "x"))
    wait_shown(app, session)
    assert row(app, session).grading_status == allowed[2]
    app.rows("UPDATE live_sessions SET analytics = '{\"mine\": 1}', grading_status = %s", allowed[0])
    app.rows("UPDATE live_sessions SET grading_status = %s", allowed[2])
    assert wait_shown(app, session)["mine"] == 1
    assert row(app, session).grading_status == allowed[2]


def test_a_status_that_nothing_forbids_is_left_alone(app, make_pool):
    app.rows("DROP TRIGGER derive ON live_sessions")
    session = put_session(app, dialogue(4, "x"))
    make_pool(app)
    put_jobs(app, session, dialogue(4, "x"))
    wait_shown(app, session)
    assert row(app, session).grading_status == "pending"


def test_a_session_is_completed_exactly_when_all_batches_are(app, make_pool):
    session = put_session(app)
    make_pool(app)
    app.insert(rep("One."), session=session)
    wait_shown(app, session)
    broken = app.insert({"no": "transcript"}, session=session)
    assert app.wait(broken, "failed").error
    shown = wait_shown(app, session, "failed")
    assert (shown["line_ratings_completed_batches"], shown["line_ratings_total_batches"]) == (1, 2)
    assert len(shown["line_ratings"]) == 1


INDEXED = [
    # the entry's own number, by either key; entries need not be in its order
    ([{"speaker": "rep", "text": "B.", "index": 7}, {"speaker": "rep", "text": "A.", "line_number": 3}],
     ["A.", "B."], [3, 7]),
    # entries of other types, and without a text, have places of their own
    ([None, 5, "A.", [], {"speaker": "rep"}, {"speaker": "rep", "text": "A."}], ["A."], [5]),
    # a customer who says the same is no rep
    ([{"speaker": "customer", "text": "Yes."}, {"speaker": "rep", "text": "Yes."}], ["Yes."], [1]),
    # no entry has this text: no number, and the others keep theirs
    ([{"speaker": "customer", "text": "Hm."}, {"speaker": "rep", "text": "B."}], ["A.", "B."], [1, None]),
    # a customer called "user", where a call named its own speakers
    ([{"speaker": "user", "text": "Hm."}, {"speaker": "agent", "text": "A."}], ["A."], [1]),
    # names that nobody configured
    ([{"speaker": "client", "text": "Hm."}, {"speaker": "seller", "text": "A."}], ["A."], [1]),
    ([], ["A.", "B."], [0, 1]),
    (None, ["A.", "B."], [0, 1]),
    ({"lines": []}, ["A."], [0]),
    ("a text", ["A."], [0]),
]


def test_numbers_of_lines(app):
    for transcript, lines, numbers in INDEXED:
        session = put_session(app, transcript)
        app.insert([{"speaker": "rep", "text": text} for text in lines], session=session)
        app.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating) SELECT %s, n - 1, t, 'good'"
                 " FROM unnest(%s::text[]) WITH ORDINALITY AS u(t, n)", session, lines)
        document = app.value("SELECT document FROM live_sessions, grading_mirror_document(id, full_transcript)"
                             " WHERE id = %s", session)
        assert [line["line_index"] for line in document["line_ratings"]] == numbers, (transcript, lines)


def test_equal_lines_are_told_apart_by_all_lines_of_the_session(app):
    """The second one is rated first: it is not shown at the first one's place."""
    transcript = [{"speaker": speaker, "text": text} for speaker, text in
                  (("customer", "Hello."), ("rep", "Yes."), ("customer", "Well."), ("rep", "Yes."), ("rep", "Bye."))]
    session = put_session(app, transcript)
    put_jobs(app, session, transcript, 1)
    app.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating) VALUES (%s, 1, 'Yes.', 'good')", session)
    app.rows("UPDATE grading_jobs SET job_data = job_data || '{\"batchSize\": 1}'")
    document = app.value("SELECT document FROM live_sessions, grading_mirror_document(id, full_transcript)")
    assert [line["line_index"] for line in document["line_ratings"]] == [3]


def test_own_indexes_of_jobs_are_believed_where_the_text_agrees(app, make_pool):
    """Equal lines of which the transcript has more than the jobs; one line was mended meanwhile."""
    transcript = [{"speaker": "rep", "text": text} for text in ("Yes.", "Yes.", "Old.", "Yes.", "End.")]
    session = put_session(app, [dict(line, text="New." if line["text"] == "Old." else line["text"])
                                for line in transcript])
    make_pool(app)
    app.insert([dict(transcript[n], index=n) for n in (1, 2, 3, 4)], session=session)
    shown = wait_shown(app, session)
    assert [(line["line_index"], line["line_text"]) for line in shown["line_ratings"]] \
        == [(1, "Yes."), (3, "Yes."), (4, "End."), (None, "Old.")] or \
        [(line["line_index"], line["line_text"]) for line in shown["line_ratings"]][-1] == (None, "Old.")


def test_what_holds_nothing_is_replaced(app, make_pool):
    sessions = [new_session() for _ in range(4)]
    for session, there in zip(sessions, ("null", "[]", '""', None)):
        app.rows("INSERT INTO live_sessions (id, analytics) VALUES (%s, %s)", session, there)
    make_pool(app)
    for session in sessions:
        app.insert(rep("One."), session=session)
    for session in sessions:
        assert set(wait_shown(app, session)) == KEYS


# ---- others at work on the same rows ----

def test_fifty_sessions_beside_another_writer_and_kills(app, make_pool):
    """Who reads all of it, takes a while, and writes all of it back; workers and publisher are killed meanwhile."""
    transcripts = {put_session(app, dialogue(36, f"s{n}")): dialogue(36, f"s{n}") for n in range(50)}
    pool = make_pool(app)
    pool.killed_by.add(signal.SIGKILL)
    done = threading.Event()
    written = {session: 0 for session in transcripts}

    def write_all():
        with app.connect() as other:
            while not done.is_set():
                for session in transcripts:
                    with other.transaction():
                        was = other.execute("SELECT analytics FROM live_sessions WHERE id = %s", (session,)).fetchone()[0]
                        written[session] += 1
                        was["computed"] = written[session]
                        time.sleep(0.002)
                        try:
                            with other.transaction():
                                other.execute("UPDATE live_sessions SET analytics = %s WHERE id = %s", (Jsonb(was), session))
                        except psycopg.errors.CheckViolation:     # its own trigger
                            written[session] -= 1

    writer = threading.Thread(target=write_all, daemon=True)
    writer.start()
    for session, transcript in transcripts.items():
        put_jobs(app, session, transcript)
    for victim in ("publisher", "worker", "publisher"):
        wait_until(lambda: app.value("SELECT count(*) FROM live_sessions WHERE analytics ? 'line_ratings'") > 5)
        os.kill(pool.workers()[0] if victim == "worker" else wait_until(pool.publisher), signal.SIGKILL)
    wait_until(lambda: app.unsettled() == 0)
    done.set()
    writer.join()
    for session, transcript in transcripts.items():
        shown = wait_shown(app, session)
        right_lines(shown, transcript)
        assert shown["talk_ratio"] == 0.4 and shown.get("computed", 0) == written[session]
        assert shown["line_ratings_completed_batches"] == 4
    assert app.value("SELECT count(*) FROM grading_jobs WHERE status = 'completed' AND error IS NULL") == 200


def test_keys_that_a_stale_copy_dropped_come_back(app, make_pool):
    session = put_session(app)
    make_pool(app)
    app.insert(rep("One."), session=session)
    wait_shown(app, session)
    for n in range(2):
        app.rows("UPDATE live_sessions SET analytics = %s, grading_status = 'pending'", Jsonb({"stale": n}))
        shown = wait_shown(app, session)
        assert shown["stale"] == n and KEYS <= set(shown)


def test_a_session_that_is_open_is_watched_after_a_restart(app, make_pool):
    session = put_session(app)
    app.insert(rep("One."), session=session)
    app.insert(rep("Later.", first=1), session=session, available_at="2100-01-01")
    pool = make_pool(app)
    pool.killed_by.add(signal.SIGKILL)
    wait_shown(app, session, "processing")
    app.rows("UPDATE grading_jobs SET completed_at = now() - interval '1 hour' WHERE status = 'completed'")
    app.rows("INSERT INTO grading_channels VALUES ('mirror', now())"
             " ON CONFLICT (name) DO UPDATE SET caught_up_at = now()")
    os.kill(pool.publisher(), signal.SIGKILL)
    app.rows("UPDATE live_sessions SET analytics = '{}'")
    assert len(wait_shown(app, session, "processing")["line_ratings"]) == 1


def test_nothing_is_written_without_need(app, make_pool):
    """Another writer's update that keeps our keys is left alone; so is a session that rests."""
    session = put_session(app)
    pool = make_pool(app)
    app.insert(rep("One."), session=session)
    wait_shown(app, session)
    wait_until(lambda: pool.metric("mirror_writes_total") >= 1)
    writes = pool.metric("mirror_writes_total")
    app.rows("UPDATE live_sessions SET analytics = analytics || '{\"more\": 1}', grading_status = 'failed'")
    version = row(app, session).version
    stays(lambda: row(app, session).version == version, 2.5)
    assert pool.metric("mirror_writes_total") == writes


def test_a_locked_row_is_passed_over(app, make_pool):
    one, other = put_session(app), put_session(app)
    make_pool(app)
    with app.connect(autocommit=False) as holder:
        holder.execute("SELECT FROM live_sessions WHERE id = %s FOR UPDATE", (one,))
        for session in (one, other):
            job = app.insert(rep("One."), session=session)
            app.wait(job, "completed")
        wait_shown(app, other)
        assert not is_shown(app, one)
    wait_shown(app, one)


def test_counters_that_others_move_are_shown(app, make_pool):
    """grading_cancel() moves a session that no worker has touched for long."""
    session = put_session(app)
    make_pool(app)
    app.insert(rep("One."), session=session)
    app.insert(rep("Later.", first=1), session=session, available_at="2100-01-01")
    wait_shown(app, session, "processing")
    assert app.value("SELECT grading_cancel(%s)", session) == 1
    assert wait_shown(app, session, "failed")["line_ratings_completed_batches"] == 1


def test_sessions_that_another_pool_settles_are_shown(app, make_pool):
    make_pool(app, mirror="off", pool={"workers": 1})
    session = put_session(app)
    watcher = make_pool(app, queue={"poll": "500ms"})
    watcher.ctl("pause")
    app.wait(app.insert(rep("One."), session=session), "completed")
    wait_shown(app, session)


def test_what_was_settled_while_nobody_published_is_shown(app, make_pool):
    pool = make_pool(app, mirror="off")
    session = put_session(app, dialogue(10, "x"))
    put_jobs(app, session, dialogue(10, "x"))
    wait_until(lambda: app.count("completed") == 1)
    assert not pool.publisher() and not is_shown(app, session)
    pool.configure(mirror="auto")
    pool.send(signal.SIGHUP)
    right_lines(wait_shown(app, session), dialogue(10, "x"))


def test_a_drained_queue_is_shown_before_the_end(app, make_pool):
    session = put_session(app)
    app.insert(rep("One."), session=session)
    done = make_pool(app, start=False).run("--once")
    assert done.returncode == 0 and json.loads(done.stdout)["completed"] == 1
    assert is_shown(app, session)


def test_a_pool_without_the_table_has_no_publisher(db, make_pool):
    pool = make_pool(db)
    db.wait(db.insert(rep("One.")), "completed")
    assert not pool.publisher()
    db.rows(TABLE)
    session = put_session(db)
    pool.send(signal.SIGHUP)
    wait_until(pool.publisher)
    db.insert(rep("Two."), session=session)
    wait_shown(db, session)
    db.rows("DROP TABLE live_sessions CASCADE")
    pool.send(signal.SIGHUP)
    wait_until(lambda: not pool.publisher())
    db.wait(db.insert(rep("Three.")), "completed")


def test_while_nothing_is_open_nothing_is_asked(app, make_pool):
    """What asks once a second is never silent for three."""
    make_pool(app)
    wait_until(lambda: app.value("SELECT now() - query_start > interval '3 s' FROM pg_stat_activity WHERE datname ="
                                 " current_database() AND application_name = 'gradingd publisher' AND state = 'idle'"))


# ---- a table that refuses ----

def test_what_the_table_refuses_is_set_aside_by_name(app, make_pool):
    bad, good = put_session(app), put_session(app)
    refuse(app, bad)
    pool = make_pool(app)
    for session in (bad, good):
        app.wait(app.insert(rep("One."), session=session), "completed")
    wait_shown(app, good)
    text = put_session(app, analytics="a text")
    app.wait(app.insert(rep("One."), session=text), "completed")
    wait_until(lambda: app.value("SELECT count(*) FROM grading_mirrors") == 2)
    assert "not this one" in app.value("SELECT error FROM grading_mirrors WHERE session_id = %s", bad)
    assert "not an object" in app.value("SELECT error FROM grading_mirrors WHERE session_id = %s", text)
    assert analytics(app, text) == "a text"
    pool.wait_log(f"session {bad} cannot be shown")
    assert pool.log.count(f"session {bad} cannot be shown") == 1
    assert bad in pool.ctl("show errors")
    assert pool.metric("mirror_refused_total") == 2
    lines = [line for line in examine(app).of("mirror") if line["state"] == "warning"]
    assert any("2 sessions" in line["found"] for line in lines), lines
    app.rows("DROP TRIGGER a_refuses ON live_sessions")
    pool.send(signal.SIGHUP)        # the next publisher tries it again at once
    wait_shown(app, bad)
    wait_until(lambda: app.value("SELECT count(*) FROM grading_mirrors") == 1)


def test_a_slow_trigger_delays_its_own_session(app, make_pool):
    """It is cut off after five seconds; others are shown in between."""
    slow = put_session(app)
    refuse(app, slow, "PERFORM pg_sleep(60)")
    make_pool(app)
    app.wait(app.insert(rep("One."), session=slow), "completed")
    wait_until(lambda: app.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
    for n in range(3):
        session = put_session(app)
        app.wait(app.insert(rep(f"Another {n}."), session=session), "completed")
        wait_shown(app, session)
    assert not is_shown(app, slow)


def test_sessions_without_a_row_there_cost_nothing(app, make_pool):
    pool = make_pool(app)
    app.wait(app.insert(rep("One.")), "completed")
    session = put_session(app)
    app.insert(rep("Two."), session=session)
    wait_shown(app, session)
    assert pool.metric("mirror_refused_total") == 0


@pytest.mark.skipif(not BOUNCER, reason="pgbouncer is not installed")
def test_behind_a_transaction_pooler(app, make_pool, bouncer):      # noqa: F811
    session = put_session(app)
    make_pool(app, database={"conninfo": bouncer.conninfo(app.name), "pool_mode": "transaction"}, queue={"poll": "500ms"})
    app.insert(rep("One."), session=session)
    wait_shown(app, session)
    app.rows("UPDATE live_sessions SET analytics = '{}', grading_status = 'pending'")
    wait_shown(app, session)


# ---- rights ----

@pytest.mark.parametrize("security", [False, True])
def test_migrate_grants_what_the_mirror_needs(app, make_pool, security):
    """Again, where the table came later, or its security."""
    app.rows("DROP ROLE IF EXISTS test_mirror_daemon")
    app.rows("CREATE ROLE test_mirror_daemon LOGIN IN ROLE gradingd_worker")
    try:
        if security:
            app.rows("ALTER TABLE live_sessions ENABLE ROW LEVEL SECURITY")
        daemon = app.conninfo.replace("user=postgres", "user=test_mirror_daemon")
        session = put_session(app)
        pool = make_pool(daemon)
        pool.alarms_expected = True         # "permission denied", said once
        app.wait(app.insert(rep("One."), session=session), "completed")
        pool.wait_log("nothing is shown in live_sessions: ")
        findings = " ".join(line["found"] for line in examine(daemon).of("mirror"))
        assert "lacks rights" in findings and ("row-level security" in findings) == security
        assert gradingctl("-d", app.conninfo, "migrate").returncode == 0
        assert [line["state"] for line in examine(daemon).of("mirror")] == ["ok"]
        wait_shown(app, session)
        assert pool.log.count("permission denied") == 1
        assert pool.stop() == 0
    finally:
        app.rows("DROP OWNED BY test_mirror_daemon")
        app.rows("DROP ROLE test_mirror_daemon")


# ---- a long session ----

def test_five_thousand_lines(app, make_pool):
    transcript = dialogue(10000, "long")
    session = put_session(app, transcript)
    make_pool(app)
    app.value("SELECT grading_enqueue(%s, %s, batch_size => 200)", session, Jsonb(transcript))
    right_lines(wait_shown(app, session), transcript)
