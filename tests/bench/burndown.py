"""20,000 jobs of five lines each, two workers, everything stored: rate, statements, WAL and CPU."""
from lab import JOBS, median, spread
from material import LINES
from report import Plot, Table

BARE, HELD = "bare loop", "bare loop, claims held"
COLUMNS = ["", "jobs/s", "lines/s", "of bare", "of held", "statements/job", "WAL bytes/job", "CPU s/10,000 jobs", "Postgres",
           "its own"]


def per_10_000(runs, what):
    return f"{median(runs, lambda run: what(run) / run.jobs * 10_000):.2f}"


def ratio(runs, bare):
    return f"{median(list(zip(runs, bare)), lambda pair: pair[0].rate / pair[1].rate):.2f}"


def row(name, runs, of):
    return [name, spread(run.rate for run in runs), f"{median(runs, lambda run: run.rate * LINES):,.0f}",
            ratio(runs, of[BARE]), ratio(runs, of[HELD]),
            f"{median(runs, lambda run: run.statements / run.jobs):.3f}",
            f"{median(runs, lambda run: run.wal_bytes / run.jobs):,.0f}",
            per_10_000(runs, lambda run: run.postgres_s + run.ours_s),
            per_10_000(runs, lambda run: run.postgres_s), per_10_000(runs, lambda run: run.ours_s)]


def run(lab):
    ways = {BARE: lab.bare, HELD: lambda: lab.bare(claims="held"), "gradingd": lab.ours}
    runs = {name: [] for name in ways}
    for _ in range(lab.pick(5, 9)):
        for name, way in ways.items():
            runs[name].append(way())
    table = Table(f"Burn-down: {JOBS:,} jobs of {LINES} lines, 2 workers", COLUMNS,
                  [row(name, of, runs) for name, of in runs.items()],
                  "Median (least-greatest); ratios are medians of the ratios within a round, to the bare loops. Both store"
                  "\nthe same ratings, counters and jobs in batches of 64; the one writes its claims down, the other holds them"
                  "\nby locks, as gradingd does while a queue is deep: those are the same writes.")
    return [table], [Plot("Burn-down, 2 workers", "jobs/s",
                          {name: [run.rate for run in of] for name, of in runs.items()}, "bars")]
