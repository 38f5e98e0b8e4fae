"""Millions of finished jobs in the table: does a claim notice? Beside a database that has none, burn by burn."""
import functools

from lab import median, spread
from plans import claim_buffers
from report import Plot, Table

FINISHED = ("INSERT INTO grading_jobs (session_id, job_type, job_data, status, claim, created_at, started_at,"
            " completed_at) SELECT gen_random_uuid(), 'line_rating', '{\"transcript\": []}', 'completed', 1,"
            " now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour'"
            " FROM generate_series(1, %s)")
RESULTS = "TRUNCATE line_ratings, grading_sessions"
BURNS = 5


def burn(lab, **keys):
    lab.db.rows(RESULTS)
    with lab.pool(cache={"ttl": "0"}, **keys) as pool:
        lab.insert()
        lab.db.rows("CHECKPOINT")
        return lab.burn(pool).rate


def measure(lab, other, name, buffers=True, **keys):
    rates = [(burn(lab, **keys), burn(other, **keys)) for _ in range(BURNS)]
    kept = median(rates, lambda pair: pair[0] / pair[1])
    found, total = claim_buffers(lab) if buffers else (None, None)
    return kept, [name, spread(a for a, _ in rates), spread(b for _, b in rates), f"{kept:.2f}",
                  f"{found:.0f}" if buffers else "", f"{total:.1f}" if buffers else ""]


def run(lab):
    lab.empty()
    lab.settle_down()
    rows, points, held = [], [], 0
    with lab.beside("control") as other:
        of = functools.partial(measure, lab, other)
        rows.append(of("none")[1])
        for millions in lab.pick([1], [1, 3, 10]):
            lab.db.rows(FINISHED, (millions - held) * 1_000_000)
            held = millions
            rows.append(of(f"{millions} million, statistics stale")[1])
            lab.settle_down()
            kept, row = of(f"{millions} million")
            rows.append(row)
            points.append((millions, kept))
        rows.append(of("while they are cleaned away", buffers=False, queue={"keep_completed": "30m"})[1])
    lab.empty()
    note = ("Ratios to a database without finished jobs, burn by burn in turn. A search is the index scan by which a claim"
            "\nfinds its jobs, for 64 of them; buffers a job include locking, updating and reading them.")
    return [Table("Finished jobs in the table", ["", "jobs/s", "beside none", "ratio", "buffers/search", "buffers/job"], rows,
                  note)], [
        Plot("Rate with finished jobs in the table", "of the rate without", {"gradingd": points}, x="million finished jobs")]
