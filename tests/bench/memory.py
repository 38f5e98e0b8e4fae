"""A worker's memory must not know how long the queue is, nor how many jobs it has done."""
import processes
from report import Plot, Table

ROUND = 20_000


def peaks(lab, n):
    with lab.pool(cache={"ttl": "0"}) as pool:
        lab.fresh(n)
        lab.burn(pool, n)
        return [max(map(processes.peak_rss, pool.workers())), processes.peak_rss(pool.janitor()),
                processes.peak_rss(pool.pid)]


def endurance(lab, rounds):
    """One worker, never replaced: what it holds after each round of jobs."""
    held = []
    with lab.pool(workers=1) as pool:
        worker, = pool.workers()
        for n in range(1, rounds + 1):
            lab.fresh(ROUND)
            lab.burn(pool, ROUND)
            held.append((n * ROUND, processes.rss(worker), processes.descriptors(worker)))
        assert pool.workers() == [worker], "the worker was replaced"
    return held


def run(lab):
    rows = [[f"{n:,}"] + [f"{value:.1f}" for value in peaks(lab, n)] for n in (10_000, lab.pick(100_000, 500_000))]
    held = endurance(lab, lab.pick(10, 50))
    lasting = [[f"{jobs:,}", f"{rss:.2f}", str(fds)] for jobs, rss, fds in held if jobs in (ROUND, held[-1][0] // 2, held[-1][0])]
    return [Table("Peak RSS by length of the queue, MiB", ["jobs", "worker", "janitor", "supervisor"], rows),
            Table("One worker over its life", ["jobs done", "RSS, MiB", "descriptors"], lasting)], [
        Plot("One worker over its life", "RSS, MiB", {"worker": [(jobs, rss) for jobs, rss, _ in held]}, x="jobs done")]
