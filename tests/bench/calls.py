"""A thousand calls in flight: a model (model.c) that answers after one second, eight workers of 128 calls each.

What the latency allows is jobs / 1,000 x 1 s. Counted from the moment the pool may claim to the last job stored,
so that connecting and the end, when ever fewer calls are open, are in it.
"""
import contextlib
import json
import subprocess
import threading
import time
import urllib.request

import harness
import processes
from lab import median, spread
from report import Plot, Table

MODEL = harness.BUILD / "bench" / "model"
OPEN = 1_000        # calls that are to be open
WORKERS, IN_FLIGHT = 8, 128
LATENCY_S = 1
SAMPLE_S = 0.25


class Model:
    def __init__(self, latency_s):
        self.process = subprocess.Popen([MODEL, str(int(latency_s * 1000))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def seen(self):
        with self.open(self.url) as reply:
            return json.load(reply)

    def cpu_seconds(self):
        return processes.cpu_seconds(self.process.pid)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Watch(threading.Thread):
    """Calls open and the workers' memory, while a run lasts."""

    def __init__(self, model, workers):
        super().__init__()
        self.model, self.workers = model, workers
        self.began, self.ended = time.monotonic(), threading.Event()
        self.open, self.pss = [], 0

    def run(self):
        while not self.ended.wait(SAMPLE_S):
            self.open.append((time.monotonic() - self.began, self.model.seen()["open"]))
            if len(self.open) % 4 == 0:
                self.pss = max([self.pss, *map(processes.pss, self.workers)])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Taken:
    """One burn-down with the model."""

    def __init__(self, run, watch, model, before):
        after = model.seen()
        self.run = run
        self.of_allowed = run.jobs / OPEN * LATENCY_S / run.seconds
        self.rss = max(map(processes.peak_rss, watch.workers))
        self.pss = watch.pss
        self.open = watch.open
        self.held = (after["open_s"] - before["open_s"]) / run.seconds
        self.peak = after["peak"]
        self.late_ms = (after["late_s"] - before["late_s"]) / run.jobs * 1000
        self.calls = after["calls"] - before["calls"]
        self.connections = after["connections"] - before["connections"]


def burn(lab, model, jobs):
    with lab.pool(workers=WORKERS, pool={"in_flight": IN_FLIGHT}, rater={"backend": "openai"},
                  openai={"base_url": model.url + "/v1", "model": "bench", "api_key_env": "", "proxy": "none"}) as pool:
        lab.fresh(jobs)
        before, cpu = model.seen(), model.cpu_seconds()
        with Watch(model, pool.workers()) as watch:
            run = lab.burn(pool, jobs)
        taken = Taken(run, watch, model, before)
        taken.model_s = model.cpu_seconds() - cpu
    assert taken.calls == jobs, f"{taken.calls} calls for {jobs} jobs"
    assert lab.db.value("SELECT count(*) FROM line_ratings") == 5 * jobs
    return taken


def run(lab):
    jobs = lab.pick(20_000, 60_000)
    taken = []
    with contextlib.closing(Model(LATENCY_S)) as model:
        for _ in range(lab.pick(3, 5)):
            taken.append(burn(lab, model, jobs))
    us = [f"{median(taken, what) / jobs * 1e6:,.0f}" for what in
          (lambda t: t.run.ours_s, lambda t: t.run.postgres_s, lambda t: t.model_s)]
    row = [spread((t.run.rate for t in taken)), spread((t.of_allowed for t in taken), "{:.3f}"),
           f"{median(taken, lambda t: t.held):,.0f}", max(t.peak for t in taken), max(t.connections for t in taken),
           f"{max(t.rss for t in taken):.1f}", f"{max(t.pss for t in taken):.1f}", *us]
    note = (f"Allowed are {OPEN:,} calls open at a time: jobs / {OPEN:,} x {LATENCY_S} s. Median (least-greatest); memory is the"
            f"\ngreatest of any worker. The model itself was late by {max(t.late_ms for t in taken):.1f} ms a call at most.")
    table = Table(f"{jobs:,} calls to a model that answers after {LATENCY_S} s: {WORKERS} workers, {IN_FLIGHT} in flight",
                  ["calls/s", "of what the latency allows", "open, mean", "open, peak", "connections",
                   "worker RSS, MiB", "PSS", "CPU us a call", "Postgres", "model"], [row], note)
    return [table], [Plot(f"Calls open at a model that takes {LATENCY_S} s", "calls", {"open": taken[-1].open}, x="seconds")]
