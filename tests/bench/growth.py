"""Millions of finished jobs in the table: does a claim notice?"""
from lab import median, spread
from plans import claim_buffers
from report import Plot, Table

FINISHED = ("INSERT INTO grading_jobs (session_id, job_type, job_data, status, claim, created_at, started_at,"
            " completed_at) SELECT gen_random_uuid(), 'line_rating', '{\"transcript\": []}', 'completed', 1,"
            " now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour'"
            " FROM generate_series(1, %s)")


def burns(lab, n, **keys):
    """Rates of n burn-downs among whatever the table holds."""
    runs = []
    for _ in range(n):
        with lab.pool(cache={"ttl": "0"}, **keys) as pool:
            lab.insert()
            lab.db.rows("CHECKPOINT")
            runs.append(lab.burn(pool))
    return runs


def measure(lab, name, first, **keys):
    runs = burns(lab, 3, **keys)
    found, total = claim_buffers(lab)
    rate = median(runs, lambda run: run.rate)
    return rate, [name, spread(run.rate for run in runs), f"{rate / (first or rate):.2f}", f"{found:.0f}", f"{total:.1f}"]


def run(lab):
    lab.empty()
    lab.settle_down()
    first, row = measure(lab, "none", None)
    rows, points, held = [row], [(0, 1)], 0
    for millions in lab.pick([1], [1, 3, 10]):
        lab.db.rows(FINISHED, (millions - held) * 1_000_000)
        held = millions
        rows.append(measure(lab, f"{millions} million, statistics stale", first)[1])
        lab.settle_down()
        rate, row = measure(lab, f"{millions} million", first)
        rows.append(row)
        points.append((millions, rate / first))
    rows.append(measure(lab, "while they are cleaned away", first, queue={"keep_completed": "30m"})[1])
    lab.empty()
    note = "A search is the index scan by which one claim finds its jobs (up to 512); buffers a job include locking,\nupdating and reading them."
    return [Table("Finished jobs in the table", ["", "jobs/s", "of first", "buffers/search", "buffers/job"], rows, note)], [
        Plot("Rate with finished jobs in the table", "of the first", {"gradingd": points}, x="million finished jobs")]
