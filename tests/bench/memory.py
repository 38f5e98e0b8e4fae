"""A worker's memory must not know how long the queue is."""
import processes
from report import Table


def peaks(lab, n):
    with lab.pool(cache={"ttl": "0"}) as pool:
        lab.fresh(n)
        lab.burn(pool, n)
        return [max(map(processes.peak_rss, pool.workers())), processes.peak_rss(pool.janitor()),
                processes.peak_rss(pool.pid)]


def run(lab):
    rows = [[f"{n:,}"] + [f"{value:.1f}" for value in peaks(lab, n)] for n in (1_000, lab.pick(100_000, 500_000))]
    return [Table("Peak RSS by length of the queue, MiB", ["jobs", "worker", "janitor", "supervisor"], rows)], []
