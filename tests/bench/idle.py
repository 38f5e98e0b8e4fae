"""64 workers with nothing to do."""
import statistics
import time

import harness
import processes
from report import Table

WORKERS, SECONDS = 64, 20



def run(lab):
    lab.empty()
    with lab.pool(workers=WORKERS) as pool:
        pool.ctl("resume")
        harness.wait_until(lambda: len(pool.workers()) == WORKERS)
        time.sleep(2)
        statements, cpu = pool.metric("statements_total"), processes.cpu_seconds(pool.pid)
        time.sleep(SECONDS)
        cpu = processes.cpu_seconds(pool.pid) - cpu
        statements = pool.metric("statements_total") - statements
        workers = [processes.pss(pid) for pid in pool.workers()]
        rows = [["statements/s", f"{statements / SECONDS:.2f}"],
                ["CPU ms/s, all processes", f"{cpu / SECONDS * 1000:.2f}"],
                ["supervisor, PSS MiB", f"{processes.pss(pool.pid):.2f}"],
                ["janitor, PSS MiB", f"{processes.pss(pool.janitor()):.2f}"],
                ["worker, PSS MiB", f"{statistics.median(workers):.2f} (at most {max(workers):.2f})"]]
    return [Table(f"Idle: {WORKERS} workers, {SECONDS} s", ["", "gradingd"], rows)], []
