"""1,000 jobs that the database lets nobody claim, ahead of many others: what that costs the others."""
import contextlib
import statistics
import time

from lab import PATIENCE_S
from report import Table

CULPRITS = 1000
JOBS = 200_000          # enough that they are not done when the rate is looked at
SETTLED_S = 10          # within so long the others run as if the culprits were not there
SHARE = 0.9             # of the others: the last of them may stand among what claims pass
GUARDS = {
    "55000": "RAISE EXCEPTION 'not now' USING errcode = '55000'",
    "PT403": "RAISE EXCEPTION 'forbidden' USING errcode = 'PT403'",
    "P0001": "RAISE EXCEPTION 'no'",
    "RETURN NULL": "RETURN NULL",
    "a lock": "UPDATE refused_live SET n = n + 1",
}


@contextlib.contextmanager
def guard(lab, guarded):
    """A trigger of the application that is against jobs whose error is "hold"."""
    lab.db.rows("CREATE TABLE refused_live AS SELECT 0 AS n")
    lab.db.rows("CREATE FUNCTION refused_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF OLD.error = 'hold' THEN {guarded}; END IF; RETURN NEW; END $$")
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


def measure(lab, guarded, culprits, workers):
    """(the others' jobs a second from the tenth second on, in the first ten, s until all culprits are known)."""
    lab.empty()
    if culprits:
        lab.insert(culprits, columns=", error", values=", 'hold'")
    lab.insert(JOBS)
    lab.settle_down()
    with guard(lab, guarded), lab.pool(workers=workers) as pool:
        pool.ctl("resume")
        began = time.monotonic()
        early_s = until(lambda: time.monotonic() - began >= SETTLED_S, began)
        early = pool.metric("jobs_completed_total")
        late_s = until(lambda: pool.metric("jobs_completed_total") >= SHARE * JOBS, began) - early_s
        late = pool.metric("jobs_completed_total") - early
        named = until(lambda: pool.show("status")["rows_refused"] >= culprits, began)
        until(lambda: pool.metric("jobs_completed_total") >= JOBS, began)
    return late / late_s, early / early_s, named


def run(lab):
    """Each kind beside the same trigger with no job that it is against, the one right after the other."""
    rows = []
    for workers in (1, 4):
        for kind, guarded in GUARDS.items():
            pairs = [(measure(lab, guarded, 0, workers), measure(lab, guarded, CULPRITS, workers))
                     for _ in range(lab.pick(1, 3))]
            free, held = (statistics.median(pair[i][0] for pair in pairs) for i in (0, 1))
            share = statistics.median(held[0] / free[0] for free, held in pairs)
            early = statistics.median(held[1] / free[1] for free, held in pairs)
            named = statistics.median(held[2] for _, held in pairs)
            rows.append([kind, str(workers), f"{free:,.0f}", f"{held:,.0f}", f"{share:.2f}", f"{early:.2f}", f"{named:.1f}"])
    return [Table(f"{CULPRITS:,} jobs that are refused, ahead of {JOBS:,}",
                  ["refused by", "workers", "jobs/s without", "with, from the 10th s", "share", "share before", "all culprits known, s"],
                  rows, f"Of {SHARE:.0%} of the others; the rest may stand among what claims pass, and is claimed by the walk.")], []
