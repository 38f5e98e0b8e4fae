"""100,000 jobs that wait for later, three priorities, 1,000 finished jobs made pending by hand: who waits longest?"""
import time

import harness
from report import Table

LATER, BY_HAND, DUE = 100_000, 1_000, 3_000
OLD = ", status, created_at, available_at, completed_at, claim"
OLD_VALUES = ", 'completed', now() - interval '9 hours', now() - interval '9 hours', now() - interval '8 hours', 1"


def longest_wait(lab, since, where):
    """Seconds from that moment of the database's clock to the last start."""
    return lab.db.value("SELECT round(extract(epoch FROM max(started_at) - %s), 2) FROM grading_jobs"
                        f" WHERE status = 'completed' AND created_at {where}", since)


def run(lab):
    lab.empty()
    lab.insert(BY_HAND, columns=OLD, values=OLD_VALUES)
    lab.insert(LATER, columns=", priority, available_at",
               values=", place %% 3, now() + place * interval '1 second' + interval '1 hour'")
    lab.settle_down()
    with lab.pool(cache={"ttl": "0"}) as pool:
        pool.ctl("resume")
        time.sleep(1)
        since = lab.db.value("SELECT clock_timestamp()")
        lab.insert(DUE, columns=", priority", values=", place %% 3")
        lab.db.rows("UPDATE grading_jobs SET status = 'pending' WHERE created_at < now() - interval '8 hours'")
        harness.wait_until(lambda: lab.db.value("SELECT count(*) FROM grading_jobs WHERE status = 'completed'")
                           >= DUE + BY_HAND, 60)
        rows = [["due jobs, 3 priorities", f"{DUE:,}", longest_wait(lab, since, "> now() - interval '1 hour'")],
                ["made pending by hand", f"{BY_HAND:,}", longest_wait(lab, since, "< now() - interval '1 hour'")]]
    return [Table(f"Longest wait beside {LATER:,} jobs that are not due (the poll is 5 s)", ["", "jobs", "s"], rows)], []
