"""Who waits for whom within a priority: a short session behind a long one, many sessions at once, two tenants.

First in, first out is the same pool without the triggers that give jobs their turns.
"""
import contextlib
import json
import statistics
import time

import harness
from calls import Model
from lab import spread
from latency import percentiles
from report import Table

MODEL_MS = 500
LARGE = 1_000           # batches of the session in front
SESSIONS = 200
LENGTHS = (5, 25, 60, 250)      # lines of a session, by turns
WINDOW_S = 10
ENQUEUE = "SELECT grading_enqueue(%s, %s, batch_size => 5)"


def transcript(session, lines):
    return json.dumps([{"speaker": "rep", "text": f"What matters to you about offer {n} of {session}?", "index": n}
                       for n in range(lines)])


def enqueue(connection, lines):
    session = harness.new_session()
    connection.execute(ENQUEUE, (session, transcript(session, lines)))
    return session


def rater(model):
    """How a pool is configured: with the model, or the rubric."""
    if not model:
        return {"workers": 2}
    return {"workers": 2, "rater": {"backend": "openai"},
            "openai": {"base_url": model.url + "/v1", "model": "bench", "api_key_env": "", "proxy": "none"}}


@contextlib.contextmanager
def first_in_first_out(lab):
    lab.db.rows("ALTER TABLE grading_jobs DISABLE TRIGGER grading_jobs_band")
    try:
        yield
    finally:
        lab.db.rows("ALTER TABLE grading_jobs ENABLE TRIGGER grading_jobs_band")


def wait_settled(lab):
    harness.wait_until(lambda: lab.db.unsettled() == 0, 600, pause=0.05)


# ---- a short session behind a long one ----

def first_rating_ms(reader, session, began):
    while not reader.execute("SELECT FROM line_ratings WHERE session_id = %s LIMIT 1", (session,),
                             prepare=True).rowcount:
        time.sleep(0.0005)
        if time.monotonic() - began > 600:
            raise AssertionError("a session was not rated")
    return (time.monotonic() - began) * 1000


def first_ratings(lab, model, before, samples, overtakes=True):
    """Of short sessions, each enqueued behind so many long ones, in ms."""
    taken = []
    for sample in range(samples):
        lab.empty()
        lab.settle_down()
        with lab.pool(**rater(model)) as pool, lab.db.connect() as writer, lab.db.connect() as reader:
            pool.ctl("resume")
            enqueue(writer, 5)
            wait_settled(lab)
            pool.ctl("pause")
            for _ in range(before):
                enqueue(writer, 5 * LARGE)
            pool.ctl("resume")
            if before:
                harness.wait_until(lambda: lab.db.value("SELECT count(*) FROM line_ratings") > 100, 60)
                time.sleep(sample * 0.013)
            began = time.monotonic()
            taken.append(first_rating_ms(reader, enqueue(writer, 5), began))
            assert not before or not overtakes or lab.db.count("pending") > 0
    return taken


def behind(lab, model, before):
    samples = lab.pick(8, 20)
    empty = first_ratings(lab, model, 0, samples)
    turns = first_ratings(lab, model, before, samples)
    with first_in_first_out(lab):
        fifo = first_ratings(lab, model, before, lab.pick(3, 10), overtakes=False)
    return [spread(values, "{:,.0f}") for values in (empty, turns, fifo)]


def short_behind_long(lab, model):
    rows = []
    for name, with_, before in ((f"a model of {MODEL_MS} ms, 1 session before it", model, 1),
                                ("the rubric, 30 sessions before it", None, 30)):
        rows.append([name, *behind(lab, with_, before)])
    return Table(f"First rating of a session of 5 lines behind sessions of {LARGE:,} batches, ms",
                 ["", "empty pool", "by turns", "first in, first out"], rows, "Median (least-greatest), 2 workers.")


# ---- many at once ----

def at_once(lab, model):
    """Seconds to the first rating and to completion of each session."""
    lab.empty()
    lab.settle_down()
    with lab.pool(**rater(model)) as pool, lab.db.connect() as writer:
        began = lab.db.value("SELECT clock_timestamp()")
        for n in range(SESSIONS):
            enqueue(writer, LENGTHS[n % len(LENGTHS)])
        began = lab.db.value("SELECT clock_timestamp()")
        pool.ctl("resume")
        wait_settled(lab)
    rows = lab.db.rows("SELECT extract(epoch FROM first_rated_at - %s)::float8 AS first,"
                       " extract(epoch FROM completed_at - %s)::float8 AS completed"
                       " FROM grading_sessions WHERE status = 'completed'", began, began)
    assert len(rows) == SESSIONS
    return [row.first for row in rows], [row.completed for row in rows]


def sessions_at_once(lab, model):
    rows = []
    for name, with_ in ((f"a model of {MODEL_MS} ms", model), ("the rubric", None)):
        for order in "by turns", "first in, first out":
            with first_in_first_out(lab) if order != "by turns" else contextlib.nullcontext():
                first, completed = at_once(lab, with_)
            rows.append([f"{name}, {order}", *[f"{value:.2f}" for values in (first, completed)
                                               for value in (*percentiles(values)[:2], max(values))]])
    return Table(f"{SESSIONS} sessions of {', '.join(map(str, LENGTHS))} lines at once, s from the first claim",
                 ["", "first rating, p50", "p95", "last", "completed, p50", "p95", "last"], rows)


# ---- two tenants ----

def shares_in_windows(lab, model):
    """The smaller tenant's share of what was completed within any so many seconds, while both have jobs."""
    lab.empty()
    jobs = lab.pick(2_000, 4_000)
    with lab.pool(**rater(model), tenants={"shares": ["large", "small"]}) as pool:
        harness.wait_until(lambda: lab.db.value("SELECT count(*) FROM grading_tenants") == 2)
        lab.insert(9 * jobs, columns=", tenant", values=", 'large'")
        lab.insert(jobs, columns=", tenant", values=", 'small'")
        lab.settle_down()
        pool.ctl("resume")
        done = "SELECT count(*) FROM grading_jobs WHERE tenant = 'small' AND status = 'completed'"
        harness.wait_until(lambda: lab.db.value(done) == jobs, 600, pause=0.2)
    rows = lab.db.rows("SELECT extract(epoch FROM completed_at)::float8 AS at, tenant FROM grading_jobs"
                       " WHERE status = 'completed' ORDER BY 1")
    last = max(row.at for row in rows if row.tenant == "small")
    begin, shares = rows[0].at, []
    while begin + WINDOW_S <= last:
        window = [row.tenant == "small" for row in rows if begin <= row.at < begin + WINDOW_S]
        shares.append(100 * sum(window) / len(window))
        begin += 1
    return shares


def two_tenants(lab, model):
    shares = shares_in_windows(lab, model)
    return Table(f"Two tenants of equal weight, one with nine times the backlog: % of the other in any {WINDOW_S} s",
                 ["", "median", "least", "greatest", "windows"],
                 [[f"a model of {MODEL_MS} ms", f"{statistics.median(shares):.1f}", f"{min(shares):.1f}",
                   f"{max(shares):.1f}", len(shares)]])


def run(lab):
    with contextlib.closing(Model(MODEL_MS / 1000)) as model:
        return [short_behind_long(lab, model), sessions_at_once(lab, model), two_tenants(lab, model)], []
