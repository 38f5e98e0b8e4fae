"""1,000 jobs that the database lets nobody claim, ahead of 20,000 others: what that costs the others."""
import contextlib
import time

from lab import JOBS, PATIENCE_S
from report import Table

CULPRITS = 1000
SHARE = 0.9             # of the others: the last of them may stand among what claims pass
NOBODY = "nobody"
GUARDS = {
    NOBODY: "NULL",
    "55000": "RAISE EXCEPTION 'not now' USING errcode = '55000'",
    "PT403": "RAISE EXCEPTION 'forbidden' USING errcode = 'PT403'",
    "P0001": "RAISE EXCEPTION 'no'",
    "RETURN NULL": "RETURN NULL",
    "a lock": "UPDATE refused_live SET n = n + 1",
}


@contextlib.contextmanager
def guard(lab, kind):
    """A trigger of the application that is against jobs whose error is "hold"."""
    lab.db.rows("CREATE TABLE refused_live AS SELECT 0 AS n")
    lab.db.rows("CREATE FUNCTION refused_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF OLD.error = 'hold' THEN {GUARDS[kind]}; END IF; RETURN NEW; END $$")
    lab.db.rows("CREATE TRIGGER guard BEFORE UPDATE ON grading_jobs FOR EACH ROW EXECUTE FUNCTION refused_guard()")
    try:
        with lab.db.connect(autocommit=False) as other:
            other.execute("UPDATE refused_live SET n = 0")
            yield
            other.rollback()
    finally:
        lab.db.rows("DROP TRIGGER guard ON grading_jobs")
        lab.db.rows("DROP FUNCTION refused_guard()")
        lab.db.rows("DROP TABLE refused_live")


def until(done, began):
    while not done():
        if time.monotonic() - began > PATIENCE_S:
            raise AssertionError(f"not within {PATIENCE_S} s")
        time.sleep(0.02)
    return time.monotonic() - began


def measure(lab, kind, workers):
    """(jobs a second of nine tenths of the others, s until all of them are done, s until all culprits are known)."""
    culprits = 0 if kind == NOBODY else CULPRITS
    lab.empty()
    if culprits:
        lab.insert(culprits, columns=", error", values=", 'hold'")
    lab.insert(JOBS)
    lab.settle_down()
    with guard(lab, kind), lab.pool(workers=workers) as pool:
        pool.ctl("resume")
        began = time.monotonic()
        most = until(lambda: pool.metric("jobs_completed_total") >= SHARE * JOBS, began)
        all_ = until(lambda: pool.metric("jobs_completed_total") >= JOBS, began)
        named = until(lambda: pool.show("status")["rows_refused"] >= culprits, began)
    assert lab.db.value("SELECT count(*) FROM grading_jobs WHERE status = 'completed'") == JOBS
    return SHARE * JOBS / most, all_, named


def run(lab):
    rows = []
    for workers in (1, 4):
        free = None
        for kind in GUARDS:
            rate, all_, named = max(measure(lab, kind, workers) for _ in range(lab.pick(1, 3)))
            free = free or rate
            rows.append([kind, str(workers), f"{rate:,.0f}", f"{rate / free:.2f}", f"{all_:.1f}", f"{named:.1f}"])
    return [Table(f"{CULPRITS:,} jobs that are refused, ahead of {JOBS:,}",
                  ["refused by", "workers", "jobs/s", "of the rate without", "all others done, s", "all culprits known, s"],
                  rows, f"Of {SHARE:.0%} of the others; the rest may stand among what claims pass, and is claimed by the walk.")], []
