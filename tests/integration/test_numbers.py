"""Numbers that never come back: claims, when a row is deleted and inserted again under its id, and cursors, which follow
the order of commits under every interleaving."""
import collections
import contextlib
import json
import random
import re
import signal
import threading
import time

import psycopg
import pytest
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

import harness
from harness import NOWHERE, PATIENCE_S, claim_of_everything, new_session, rep, together, wait_until

FIRST_NUMBER = 2 ** 40
WHO = "host/1/1"
LAPSE_MS = 600000

Claim = collections.namedtuple("Claim", "job session claim")


class Worker:
    """One who runs the daemon's own statements on a connection of its own."""

    def __init__(self, db, statements, who=WHO):
        self.conn, self.statements, self.who = db.connect(row_factory=tuple_row), statements, who
        self.pid = self.conn.info.backend_pid

    def close(self):
        self.conn.close()

    def run(self, name, *values):
        types, text = self.statements[name]
        assert len(types) == len(values), name
        sql = re.sub(r"\$(\d+)", r"%(p\1)s", text.replace("%", "%%"))
        cursor = self.conn.execute(sql.encode(), {f"p{n}": value for n, value in enumerate(values, 1)})
        return cursor.fetchall() if cursor.description else []

    def claimed(self, name="claim_briefly", n=10):
        who = [self.who] if name != "hold" else []
        return [Claim(str(row[0]), str(row[1]), row[2])
                for row in self.run(name, *claim_of_everything(n), *who)]

    def batch(self, claims, text="Line", first=0, status="completed"):
        """Of each job two lines, which follow on one another."""
        jobs = [(c.job, c.claim, status, 0, 0, None, None, None, 0, 2, 0, 2) for c in claims]
        lines = [(place, k, first + 2 * place - 2 + k - 1, f"{text} {k}", "good", "", *[None] * 7)
                 for place in range(1, len(claims) + 1) for k in (1, 2)]
        return *map(list, zip(*jobs)), *map(list, zip(*lines)), [], [], [], self.who, [None] * len(claims)

    def settled(self, form, claims, **more):
        """Sends it again where it has only opened sessions; the places of what was settled."""
        ttl = [LAPSE_MS] if form == "settle" else []
        for _ in range(3):
            places = [place for (place,) in self.run(form, *self.batch(claims, **more), *ttl)]
            if not any(place < 0 for place in places):
                return places
        raise AssertionError("sessions are opened over and over")


@pytest.fixture
def make_worker(db, statements):
    with contextlib.ExitStack() as stack:
        yield lambda who=WHO: stack.enter_context(contextlib.closing(Worker(db, statements, who)))


def cursors(db, session):
    """In the order of lines."""
    return [row.seq for row in db.rows("SELECT seq FROM line_ratings WHERE session_id = %s ORDER BY line_index", session)]


def newer(db, session, since):
    return [row.cursor for row in db.rows("SELECT cursor FROM grading_ratings(%s, %s)", session, since)]


# ---- cursors: one settlement is held open, another one comes ----

def in_transaction(worker):
    worker.conn.execute("BEGIN")


@pytest.mark.parametrize("known", [False, True], ids=["new session", "known session"])
@pytest.mark.parametrize("second", ["complete", "settle"])
@pytest.mark.parametrize("first", ["complete", "settle"])
def test_cursors_follow_the_order_of_commits(db, make_worker, first, second, known):
    session, one, two = new_session(), make_worker(), make_worker("host/2/1")
    if known:
        db.rows("INSERT INTO grading_sessions (session_id) VALUES (%s)", session)
    jobs = [db.insert(session=session, created_at=f"2026-01-0{n + 1}") for n in range(2)]
    claims = {claim.job: claim for worker in (one,) for claim in worker.claimed(n=1)}
    mine = next(iter(claims.values()))
    (other,) = two.claimed(n=1)
    assert {mine.job, other.job} == set(map(str, jobs))
    in_transaction(one)
    assert one.settled(first, [mine]) == [1]
    places = []
    thread = threading.Thread(target=lambda: places.extend(two.settled(second, [other], first=2)), daemon=True)
    thread.start()
    db.wait_blocked()
    assert newer(db, session, 0) == []
    one.conn.execute("COMMIT")
    seen = newer(db, session, 0)
    thread.join(PATIENCE_S)
    assert places == [1]
    assert len(seen) >= 2 and set(newer(db, session, max(seen))) == set(cursors(db, session)) - set(seen)
    found = cursors(db, session)
    assert found == sorted(set(found)) and len(found) == 4 and found[0] >= FIRST_NUMBER


def test_a_jobs_lines_are_numbered_in_their_order_however_many(pool, db):
    """A draw is worth 64 cursors."""
    session = new_session()
    jobs = [db.insert(rep(*[f"Line {n}." for n in range(150)], first=150 * k), session=session) for k in range(3)]
    for job in jobs:
        db.wait(job, "completed")
    for k in range(3):
        found = cursors(db, session)[150 * k:150 * k + 150]
        assert found == sorted(set(found)) and len(found) == 150
    assert len(set(cursors(db, session))) == 450 and pool.metric("lines_rated_total") == 450


def hold_sessions_open(db):
    """Whoever inserts a session's row waits for the lock 4711 before its transaction goes on."""
    db.rows("CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$")
    db.rows("CREATE TRIGGER hold AFTER INSERT ON grading_sessions FOR EACH ROW EXECUTE FUNCTION hold()")


def waiting(db):
    return db.value("SELECT count(*) FROM pg_locks WHERE NOT granted")


def test_two_pools_that_settle_a_new_session_at_once(make_pool, db):
    """Both jobs were claimed before, so that the general form of a settlement is used."""
    hold_sessions_open(db)
    session = new_session()
    with db.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(4711)")
        for _ in range(2):
            make_pool(db, pool={"workers": 1, "claim_batch": 1})
        for n in range(2):
            db.insert(rep(f"Job {n}.", "Another line.", first=2 * n), session=session, claim=1)
            wait_until(lambda n=n: waiting(db) > n)
        holder.execute("SELECT pg_advisory_unlock(4711)")
        wait_until(lambda: db.count("completed") == 2)
    found = cursors(db, session)
    assert len(found) == len(set(found)) == 4
    assert db.session(session).rated_lines == 4


def test_a_session_deleted_under_a_settlement_is_made_again_and_numbered_under_its_lock(db, make_worker):
    session, worker, eraser = new_session(), make_worker(), make_worker()
    db.rows("INSERT INTO grading_sessions (session_id) VALUES (%s)", session)
    db.insert(session=session)
    claims = worker.claimed()
    in_transaction(eraser)
    eraser.conn.execute("DELETE FROM grading_sessions WHERE session_id = %s", [session])
    answers = []
    thread = threading.Thread(
        target=lambda: answers.extend(worker.run("settle", *worker.batch(claims), LAPSE_MS)), daemon=True)
    thread.start()
    db.wait_blocked()
    eraser.conn.execute("COMMIT")
    thread.join(PATIENCE_S)
    assert answers == [(-1,)] and cursors(db, session) == []
    assert db.job(claims[0].job).status == "processing"
    assert worker.settled("settle", claims) == [1]
    assert len(cursors(db, session)) == 2 and db.session(session).rated_lines == 2


def test_nothing_is_numbered_of_a_job_that_has_moved_on(db, make_worker):
    worker = make_worker()
    db.insert()
    claims = worker.claimed()
    db.rows("UPDATE grading_jobs SET status = 'pending'")
    assert worker.settled("settle", claims) == []
    assert db.value("SELECT count(*) FROM grading_sessions") == 0 == db.value("SELECT count(*) FROM line_ratings")


def test_a_session_that_cannot_be_opened_costs_the_others_nothing(make_pool, db):
    """A trigger of the application swallows its row, without an error."""
    bad = new_session()
    db.rows("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN IF NEW.session_id = '{bad}' THEN RETURN NULL; END IF; RETURN NEW; END $$")
    db.rows("CREATE TRIGGER swallow BEFORE INSERT ON grading_sessions FOR EACH ROW EXECUTE FUNCTION swallow()")
    job = db.insert(session=bad, claim=1)
    pool = make_pool(db, pool={"workers": 1})
    for _ in range(20):
        db.insert(claim=1)
    wait_until(lambda: db.count("completed") == 20)
    assert db.job(job).status == "processing"
    wait_until(lambda: f"job {job}: the row of its session in grading_sessions is not there" in pool.log)
    before = pool.metric("statements_total")
    time.sleep(1)
    assert pool.metric("statements_total") - before < 30        # it is not sent over and over
    db.rows("DROP TRIGGER swallow ON grading_sessions")
    db.wait(job, "completed")


# ---- cursors: sessions that go and come again ----

FORGET = ["grading_jobs", "line_ratings", "grading_sessions"]


def forget(db, session):
    with db.connect(autocommit=False) as conn:
        for table in FORGET:
            conn.execute(f"DELETE FROM {table} WHERE session_id = %s", [session])


def enqueue(db, session, *texts):
    return db.value("SELECT grading_enqueue(%s, %s, batch_size => 2)", session, Jsonb(rep(*texts)))


def test_a_reader_goes_on_where_a_session_was_removed_and_comes_again(pool, db):
    session, since = new_session(), 0
    for turn in range(3):
        assert enqueue(db, session, *[f"Turn {turn}, line {n}." for n in range(5)]) == 3
        wait_until(lambda: db.unsettled() == 0)
        fresh = db.rows("SELECT * FROM grading_ratings(%s, %s)", session, since)
        assert [row.line_text for row in sorted(fresh, key=lambda row: row.line_index)] == [
            f"Turn {turn}, line {n}." for n in range(5)]
        since = max(row.cursor for row in fresh)
        assert newer(db, session, since) == []
        forget(db, session)
    assert pool.metric("jobs_failed_total") == 0


class Reader(threading.Thread):
    """A front end that follows cursors, and nothing else."""

    def __init__(self, db, sessions):
        super().__init__(daemon=True)
        self.db, self.since = db, dict.fromkeys(sessions, 0)
        self.seen, self.over, self.failed = collections.defaultdict(set), threading.Event(), None

    def read(self, conn):
        for session, since in self.since.items():
            for row in conn.execute("SELECT cursor, line_index FROM grading_ratings(%s, %s)", [session, since]):
                assert row.cursor > since and (row.cursor, row.line_index) not in self.seen[session]
                self.seen[session].add((row.cursor, row.line_index))
                self.since[session] = max(self.since[session], row.cursor)

    def run(self):
        try:
            with self.db.connect() as conn:
                while not self.over.is_set():
                    self.read(conn)
                self.read(conn)
        except Exception as error:      # pylint: disable=broad-except
            self.failed = error


SLOW_SESSIONS = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NEW; END $$;
    CREATE TRIGGER slow AFTER INSERT ON grading_sessions FOR EACH ROW EXECUTE FUNCTION slow();
"""


def test_who_follows_cursors_sees_every_rating(make_pool, db):
    """Three pools, whose workers are killed now and then, and sessions that are forgotten and enqueued again."""
    db.rows(SLOW_SESSIONS)
    sessions = [new_session() for _ in range(60)]
    jobs = [(session, n) for n in range(6) for session in sessions]
    pools = [make_pool(db, pool={"workers": 2, "claim_batch": 2}) for _ in range(3)]
    reader = Reader(db, sessions)
    reader.start()
    for session, n in jobs:        # every other one was claimed before
        db.insert(rep(f"Job {n}.", "Another line.", first=2 * n), session=session, claim=n % 2)
        if n == 3 and random.random() < 0.1:
            forget(db, session)
        if random.random() < 0.02:
            victim = random.choice(pools)
            with contextlib.suppress(IndexError, ProcessLookupError):
                victim.kill(victim.workers()[0])
    wait_until(lambda: db.unsettled() == 0)
    reader.over.set()
    reader.join(PATIENCE_S)
    assert reader.failed is None and not reader.is_alive()
    stored = db.rows("SELECT session_id::text, seq, line_index FROM line_ratings")
    assert len(stored) > 500
    missed = [row for row in stored if (row.seq, row.line_index) not in reader.seen[row.session_id]]
    assert missed == []
    assert db.value("SELECT count(*) FROM (SELECT FROM line_ratings GROUP BY seq HAVING count(*) > 1) double") == 0


# ---- claims: a row that is deleted and inserted again under its id ----

def again(db, job, session, transcript):
    """Another job under the id of one that is being rated."""
    with db.connect() as conn:
        conn.execute("DELETE FROM grading_jobs WHERE id = %s", [job])
    assert db.insert(transcript, session=session, id=job) == job


def check_new(db, job, session):
    db.wait(job, "completed")
    (rating,) = db.ratings(session)
    assert rating.line_text == "NEW text"


def test_a_models_answer_about_a_row_that_is_gone(make_openai_pool, db, llm):
    pool = make_openai_pool(pool={"workers": 1})
    llm.behave({"text": "OLD", "hold": "old"}, {"hold": "new"})
    session = new_session()
    job = db.insert(rep("OLD text"), session=session)
    wait_until(lambda: llm.in_flight == 1)
    again(db, job, session, rep("NEW text"))
    wait_until(lambda: llm.in_flight == 2)
    llm.release("old")
    wait_until(lambda: pool.metric("claims_lost_total") == 1 or db.job(job).status == "completed")
    assert db.job(job).status == "processing" and db.ratings(session) == []
    llm.release()
    check_new(db, job, session)


def test_a_programs_answer_about_a_row_that_is_gone(make_pool, db, tmp_path):
    tmp_path.chmod(0o777)
    program = harness.ROOT / "tests/integration/rating_program.py"
    (tmp_path / "behave").write_text("held OLD")
    pool = make_pool(db, pool={"workers": 1}, queue={"poll": "500ms"}, rater={"backend": "command"},
                     command={"argv": ["/usr/bin/python3", "-IS", str(program), str(tmp_path)], "timeout": "60s"})
    for n in range(4):      # it is quick, so it is given more than one at a time
        db.completed(rep(f"Quick {n}."))
    session = new_session()
    job = db.insert(rep("OLD text"), session=session)
    wait_until(lambda: "OLD" in ((tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""))
    again(db, job, session, rep("NEW text"))
    db.wait(job, "processing")
    (tmp_path / "released").touch()
    check_new(db, job, session)
    assert pool.metric("claims_lost_total") == 1


@pytest.mark.parametrize("form", ["complete", "settle"])
@pytest.mark.parametrize("claim", ["claim", "claim_briefly"])
def test_a_claim_of_the_row_before_settles_nothing(db, make_worker, claim, form):
    """Whatever the rater: the same worker has claimed both."""
    worker, session = make_worker(), new_session()
    job = db.insert(rep("OLD text"), session=session)
    (old,) = worker.claimed(claim)
    again(db, job, session, rep("NEW text"))
    (new,) = worker.claimed(claim)
    assert (old.job, old.session) == (new.job, new.session) and FIRST_NUMBER <= old.claim < new.claim
    assert worker.settled(form, [old], text="OLD") == []
    assert db.job(job).status == "processing" and db.ratings(session) == []
    assert worker.settled(form, [new], text="NEW") == [1]
    assert {row.line_text for row in db.ratings(session)} == {"NEW 1", "NEW 2"}


def test_a_claim_that_was_held_settles_nothing_of_another_row(db, make_worker):
    """Its locks were lost with the transaction; what was read in it is of no use any more."""
    worker, session = make_worker(), new_session()
    job = db.insert(rep("OLD text"), session=session)
    in_transaction(worker)
    (old,) = worker.claimed("hold")
    worker.conn.execute("ROLLBACK")
    again(db, job, session, rep("NEW text"))
    in_transaction(worker)
    assert worker.settled("complete_held", [old], text="OLD") == []
    (new,) = worker.claimed("hold")
    assert new.claim > old.claim and worker.settled("complete_held", [new], text="NEW") == [1]
    worker.conn.execute("COMMIT")
    assert {row.line_text for row in db.ratings(session)} == {"NEW 1", "NEW 2"}


def test_every_claim_and_every_row_has_a_number_of_its_own(db, make_worker):
    worker, numbers = make_worker(), set()
    job = db.insert()
    for steps, put_back in enumerate(["UPDATE grading_jobs SET status = 'pending'",
                                      "SELECT grading_cancel(session_id) FROM grading_jobs;"
                                      "SELECT grading_retry(session_id) FROM grading_jobs",
                                      "SELECT"]):
        numbers.add(db.job(job).claim)
        (claim,) = worker.claimed()
        assert claim.claim > max(numbers) >= FIRST_NUMBER
        numbers.add(claim.claim)
        assert db.job(job).times_claimed == steps + 1
        db.rows(put_back)
    assert len(numbers) == 5        # the row's, three claims', and that of the cancelling


def dead(worker, job, claim):
    """It died of itself, with this job in hand under this claim. What became of the jobs that were found."""
    found = worker.run("left_behind", [WHO], [job], [claim], [True], [False], [None], NOWHERE, 100)
    if not found:
        return []
    _, jobs, _, claims, _, loose, guilt, weight = map(list, zip(*found))
    rows = worker.run("recover", jobs, claims, ["was killed"] * len(jobs), ["1"] * len(jobs), guilt, weight, loose)
    return [outcome for _, outcome in rows]


def test_a_death_is_charged_to_the_row_that_was_in_hand_and_to_no_later_one(db, make_worker):
    worker, session = make_worker(), new_session()
    job = db.insert(rep("OLD text"), session=session)
    held = db.job(job).claim
    again(db, job, session, rep("NEW text"))
    assert dead(worker, job, held) == []
    assert db.job(job).attempts == 0
    assert dead(worker, job, db.job(job).claim) == ["done"]
    row = db.job(job)
    assert row.attempts == 1 and row.times_claimed == 1
    assert dead(worker, job, held) == []
    (claim,) = worker.claimed()
    db.insert()
    worker.claimed()
    assert dead(worker, job, row.claim) == ["done"] * 2       # both go back, but nobody knows which was in hand
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 1 and claim.claim != row.claim


def test_a_crash_in_a_held_claim_is_not_charged_to_the_row_that_came_after(make_pool, db):
    """Nobody recovers the dead one's jobs until another row has its id."""
    pool = make_pool(db, start=False, pool={"workers": 1, "claim_batch": 16})
    pool.env.update(harness.preload(DRILL_POISON_READ="poisonous"))
    pool.killed_by.add(signal.SIGSEGV)
    pool.start()
    pool.ctl("pause")
    pool.pause()
    db.insert_many(300)
    session = new_session()
    job = db.insert(rep("This is poisonous."), session=session, priority=-1)
    pool.kill(pool.janitor(), signal.SIGSTOP)
    try:
        pool.ctl("resume")
        wait_until(lambda: "Segmentation" in pool.log)
        pool.ctl("pause")
        again(db, job, session, rep("NEW text"))
        before = db.job(job)
    finally:
        pool.kill(pool.janitor(), signal.SIGCONT)
    pool.ctl("resume")
    check_new(db, job, session)
    row = db.job(job)
    assert (before.attempts, row.attempts, row.error) == (0, 0, None)


# ---- provenance ----

def test_equal_provenances_are_stored_once(make_openai_pool, make_pool, db):
    """By two raters, from the cache and fresh, by workers that begin anew."""
    for make in (lambda: make_openai_pool(), lambda: make_pool(db)):        # pylint: disable=unnecessary-lambda
        for _ in range(2):
            pool = make()
            for n in range(6):
                db.completed(rep(f"Line {n}.", f"Line {n}.", "Hello."))
            pool.stop()
    rows = db.rows("SELECT id, document FROM grading_provenance")
    assert sorted(row.document["rater"] for row in rows) == ["openai", "rubric"]
    assert all(row.id.version == 5 and not {"at", "source"} & set(row.document) for row in rows)
    assert db.value("SELECT count(DISTINCT provenance_id) FROM line_ratings") == 2
    assert db.value("SELECT count(*) FROM line_ratings WHERE provenance_id IS NULL OR provenance IS NOT NULL") == 0


def test_a_rating_of_an_earlier_release_shows_its_own_provenance(db):
    session, told = new_session(), {"rater": "openai", "at": "2026-01-01T00:00:00Z", "source": "fresh"}
    db.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating, seq, provenance)"
            " VALUES (%s, 0, 'Hi', 'good', 7, %s)", session, Jsonb(told))
    assert db.row("SELECT * FROM grading_ratings(%s)", session).provenance == told
    assert db.ratings(session)[0].provenance == told


# ---- the release before ----

def test_rows_of_the_release_before_go_on(make_pool, bare_db):
    """A job that nobody has claimed, one that was claimed and put back, and lines with the cursors of then."""
    db, session = bare_db, new_session()
    harness.migrate_by_psql(db.conninfo, [path for path in harness.MIGRATIONS if path.name < "093"])
    fresh = db.insert(rep("Fresh."), session=session)
    again_ = db.insert(rep("Again.", first=1), session=session, claim=3, attempts=1)
    db.rows("INSERT INTO grading_sessions (session_id, rated_seq) VALUES (%s, 2)", session)
    db.rows("INSERT INTO line_ratings (session_id, line_index, line_text, rating, seq)"
            " VALUES (%s, 8, 'Hi', 'good', 1), (%s, 9, 'Hi', 'good', 2)", session, session)
    harness.migrate(db.conninfo)
    make_pool(db, pool={"workers": 1})
    assert db.wait(fresh, "completed").times_claimed == 1
    assert db.wait(again_, "completed").times_claimed == 4
    assert len(newer(db, session, 2)) == 2 and min(newer(db, session, 2)) >= FIRST_NUMBER
    assert newer(db, session, 0)[:2] == [1, 2]
    assert db.job(db.insert()).claim >= FIRST_NUMBER


# ---- rights ----

def make_role(db, name, *grants):
    db.rows(f"DROP ROLE IF EXISTS {name}")
    db.rows(f"CREATE ROLE {name} LOGIN")
    for grant in grants:
        db.rows(f"GRANT {grant} TO {name}")
    return db.postgres.conninfo(db.name).replace("user=postgres", f"user={name}")


@pytest.fixture
def plain(db):
    """A role that may insert jobs, by a right that somebody gave it on the table, and nothing else."""
    yield make_role(db, "plain", "INSERT ON grading_jobs", "grading_app")
    db.rows("DROP OWNED BY plain")
    db.rows("DROP ROLE plain")


PLAIN_ROW = "INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (gen_random_uuid(), 'line_rating', '{}')"


def test_who_may_insert_jobs_may_draw_the_numbers_they_get(db, plain):
    with harness.connect(plain) as conn:
        conn.execute(PLAIN_ROW)
        for change in ("ALTER SEQUENCE grading_claims RESTART", "SELECT setval('grading_claims', 1)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(change.encode())
        db.rows("REVOKE ALL ON SEQUENCE grading_claims FROM PUBLIC")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="grading_claims"):
            conn.execute(PLAIN_ROW)
        db.rows("SELECT grading_secure()")
        conn.execute(PLAIN_ROW)
    assert db.value("SELECT min(claim) FROM grading_jobs") >= FIRST_NUMBER


def test_rights_on_numbers_that_are_missing_are_said(make_pool, db):
    worker = make_role(db, "numberless", "gradingd_worker")
    try:
        db.rows("REVOKE ALL ON SEQUENCE grading_claims FROM PUBLIC")
        made = make_pool(db, start=False, database={"conninfo": worker})
        checked = made.run("-t")
        assert checked.returncode == 78
        assert "no right to draw from the sequence grading_claims" in checked.stdout + checked.stderr
        told = harness.gradingctl("-c", made.config_path, "doctor")
        assert "numberless may not draw numbers from the sequence grading_claims" in told.stdout
        db.rows("SELECT grading_secure()")
        assert made.run("-t").returncode == 0
    finally:
        db.rows("DROP OWNED BY numberless")
        db.rows("DROP ROLE numberless")


# What somebody did to a sequence, and what doctor says of it.
SPOILT = [("grading_cursors INCREMENT 1", "goes on by 1, not by 64"), ("grading_cursors INCREMENT 63", "goes on by 63, not by 64"),
          ("grading_claims INCREMENT -1", "goes on by -1, not by 1"),
          ("grading_claims CYCLE", "begins again at its end"), ("grading_cursors CYCLE", "begins again at its end"),
          ("grading_cursors CACHE 20", "gives each connection numbers in advance"),
          ("grading_claims MINVALUE 1 RESTART 5", "stands at 5, below"), ("grading_cursors MINVALUE 1 RESTART 5", "stands at 5, below"),
          ("grading_cursors MAXVALUE 1099511700000", "ends at 1099511700000")]


@pytest.mark.parametrize("change, words", SPOILT, ids=[change for change, _ in SPOILT])
def test_a_sequence_that_was_changed_is_said(make_pool, db, change, words):
    def found():
        checks = json.loads(harness.gradingctl("--json", "-d", db.conninfo, "doctor").stdout)["checks"]
        return [line for line in checks if line["check"] == "numbers" and line["state"] != "ok"]

    make_pool(db)
    db.wait(db.insert(rep(*(f"Line {n}." for n in range(100)))), "completed")
    assert found() == []
    db.rows(f"ALTER SEQUENCE {change}")
    if "RESTART" in change:
        db.rows("SELECT nextval('grading_claims') + nextval('grading_cursors')")
    line, = found()
    assert (line["state"], f"the sequence {change.split()[0]} {words}" in line["found"]) == ("error", True), line
    db.rows(line["advice"])
    assert found() == []


def test_numbers_are_drawn_side_by_side(db):
    """No two get the same, whoever draws."""
    drawn = []

    def draw():
        with db.connect(row_factory=tuple_row) as conn:
            drawn.extend(conn.execute(
                "INSERT INTO grading_jobs (session_id) SELECT gen_random_uuid() FROM generate_series(1, 500)"
                " RETURNING claim").fetchall())

    together(*[draw] * 4)
    assert len(drawn) == len(set(drawn)) == 2000
