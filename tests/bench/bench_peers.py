"""The same work through our pool and through job queues for Node.js, which take turns in one run.

Writes peers.md and peers.svg into build/bench/. The peers are those named on the command line, or all.
BENCH_FULL=1 takes more rounds.
"""
import contextlib
import os
import random
import signal
import statistics
import sys
import time

import psycopg

import bench            # first: it says where harness is
# pylint: disable=wrong-import-order
import burndown
import harness
import lab
import latency
import peer
import report
from material import LINES

OURS = "gradingd"
COLUMNS = ["", "jobs/s", "lines/s", "gradingd is", "WAL bytes/job", "CPU s/10,000 jobs", "Postgres", "its own"]
WARM_UP, SAMPLES = 10, 80       # single jobs, a round


def title(name, form="rows"):
    return peer.PEERS[name].title + {"rows": "", "json": ", JSON", "single": ", JSON singly"}[form]


def in_turn(rounds, ways, brief):
    """{name: what each round brought}; brief() is what is said of it on the way."""
    found = {name: [] for name in ways}
    for turn in range(1, rounds + 1):
        for name, way in ways.items():
            found[name].append(way())
        print(f"round {turn} of {rounds}: " + "; ".join(f"{name} {brief(of[-1])}" for name, of in found.items()),
              flush=True)
    return found


# ---- burn-down ----

def faster(ours, theirs):
    return f"{statistics.median(a.rate / b.rate for a, b in zip(ours, theirs)):.2f}x"


def cpu(run):
    return (run.postgres_s + run.ours_s) / run.jobs * 10_000


def row(name, runs, of):
    return [name, lab.spread(run.rate for run in runs), f"{lab.median(runs, lambda run: run.rate * LINES):,.0f}",
            faster(of[OURS], runs),
            f"{lab.median(runs, lambda run: run.wal_bytes / run.jobs):,.0f}", f"{lab.median(runs, cpu):.2f}",
            burndown.per_10_000(runs, lambda run: run.postgres_s), burndown.per_10_000(runs, lambda run: run.ours_s)]


def burn_down(room, names, redis):
    ways = {OURS: room.ours}
    for form in peer.FORMS:
        ways |= {title(name, form): peer.Peer(room, name, form, redis).burn for name in names}
    runs = in_turn(room.pick(5, 9), ways, lambda run: f"{run.rate:,.0f} jobs/s")
    same = {name: of for name, of in runs.items() if "JSON" not in name}
    table = report.Table(
        f"Burn-down: {lab.JOBS:,} jobs of {LINES} lines, {peer.WORKERS} processes each, every result stored", COLUMNS,
        [row(name, of, runs) for name, of in runs.items()],
        "Median (least-greatest). How many times as fast gradingd is, is the median of the ratios within a round. The"
        "\npeers store the same rows, in batches, and rate nothing; JSON: one JSON row a job instead, no counters, in"
        "\nbatches too, or singly: in an INSERT of its own, as their documentations' handlers do. Its own: the CPU time of"
        "\nall that is not Postgres.")
    plots = [report.Plot("Burn-down, the same rows stored", "jobs/s",
                         {name: [run.rate for run in of] for name, of in same.items()}, "bars"),
             report.Plot("and what it costs", "CPU s/10,000 jobs",
                         {name: list(map(cpu, of)) for name, of in same.items()}, "bars")]
    return table, plots


# ---- latency ----

@contextlib.contextmanager
def our_pool(room):
    """Waiting for work: yields what enqueues the nth job, for a session, and tells when the call began."""
    room.empty()
    with room.pool() as pool, room.db.connect() as writer:
        pool.ctl("resume")
        yield lambda session, n: latency.insert(writer, session, n)


def one_by_one(room, idle, table):
    """Milliseconds of single jobs with pauses in between; the first few are not counted."""
    values = []
    with idle as send, room.db.connect() as reader:
        for n in range(WARM_UP + SAMPLES):
            time.sleep(random.uniform(0.02, 0.05))
            session = harness.new_session()
            began = send(session, n)
            latency.wait_rated(reader, session, began, table)
            values.append((time.monotonic() - began) * 1000)
    return values[WARM_UP:]


def idle_queue(room, names, redis):
    ways = {OURS: lambda: one_by_one(room, our_pool(room), "line_ratings")}
    for name in names:
        theirs = peer.Peer(room, name, "rows", redis)
        ways[title(name)] = lambda theirs=theirs: one_by_one(room, theirs.idle(), "peer.line_ratings")
    rounds = in_turn(room.pick(5, 20), ways, lambda values: f"{statistics.median(values):.1f} ms")
    rows = [[name, *(f"{value:.2f}" for value in latency.percentiles(sum(of, [])))] for name, of in rounds.items()]
    table = report.Table("One job on an idle queue, from the enqueueing call to its stored ratings, ms",
                         ["", "p50", "p95", "p99"], rows,
                         f"{len(rounds[OURS]) * SAMPLES} jobs each, {SAMPLES} a round.")
    plots = [report.Plot(f"One job on an idle queue, p{p}", "ms, by round",
                         {name: [latency.percentiles(values)[place] for values in of] for name, of in rounds.items()},
                         "bars")
             for place, p in ((0, 50), (1, 95))]
    return table, plots


# ---- all of it ----

def measure(names):
    load = os.getloadavg()[0]
    with bench.laboratory() as room, peer.redis_for(names) as redis:
        room.add_peers()
        tables, plots = [], []
        for part in (burn_down, idle_queue):
            table, drawn = part(room, names, redis)
            print("\n" + table.markdown(), flush=True)
            tables.append(table)
            plots += drawn
        return tables, plots, f"{bench.machine(room)}, load {load:.1f} before; {peer.versions(names)}"


def main(names):
    unknown = [name for name in names if name not in peer.PEERS]
    if unknown:
        sys.exit(f"bench-peers: no peer {', '.join(unknown)}; there are {', '.join(peer.PEERS)}")
    for signo in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, lambda signo, _: sys.exit(128 + signo))
    try:
        bench.write("peers", *measure(names or list(peer.PEERS)))
    except (AssertionError, OSError, psycopg.Error) as error:
        sys.exit(f"bench-peers: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
