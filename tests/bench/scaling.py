"""One to 32 workers on the same jobs."""
from lab import median, spread
from report import Plot, Table


def run(lab):
    runs = {workers: [] for workers in lab.pick([1, 2, 4, 8, 32], [1, 2, 4, 8, 16, 32])}
    for _ in range(lab.pick(2, 5)):
        for workers, of in runs.items():
            of.append(lab.ours(workers=workers, cache={"ttl": "0"}))
    rates = {workers: median(of, lambda run: run.rate) for workers, of in runs.items()}
    rows = [[workers, spread(run.rate for run in of), f"{rates[workers] / rates[1]:.2f}"] for workers, of in runs.items()]
    return [Table("Workers", ["workers", "jobs/s", "of one"], rows)], [
        Plot("Workers", "jobs/s", {"gradingd": list(rates.items())}, x="workers")]
