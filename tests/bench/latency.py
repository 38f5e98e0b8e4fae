"""From the insert of one job to its stored rating, on an idle pool, as an application sees it."""
import random
import statistics
import time

from psycopg.types.json import Jsonb

import harness
from report import Plot, Table

INSERT = "INSERT INTO {} (session_id, job_type, job_data) VALUES (%s, 'line_rating', %s)"


def data(n):
    return Jsonb({"transcript": [{"speaker": "rep", "index": k, "text": f"What matters most to you, {n}/{k}?"}
                                 for k in range(5)], "batchIndex": 0, "batchSize": 5, "totalBatches": 1})


def insert(writer, session, n):
    """Returns when the call began."""
    job = data(n)
    began = time.monotonic()
    writer.execute(INSERT.format("grading_jobs"), (session, job), prepare=True)
    return began


def wait_rated(reader, session, began, table="line_ratings"):
    """Looks every fifth of a millisecond, which leaves the processors to the pool."""
    while not reader.execute(f"SELECT FROM {table} WHERE session_id = %s LIMIT 1", (session,), prepare=True).rowcount:
        time.sleep(0.0002)
        if time.monotonic() - began > harness.PATIENCE_S:
            raise AssertionError("a job was not rated")


def through_pool(writer, reader, n):
    session = harness.new_session()
    began = insert(writer, session, n)
    wait_rated(reader, session, began)
    return (time.monotonic() - began) * 1000


def by_hand(writer, n):
    """The same commits one after the other on one connection: insert, claim, settle."""
    session, job = harness.new_session(), data(n)
    began = time.perf_counter()
    writer.execute(INSERT.format("by_hand"), (session, job), prepare=True)
    for status in ("processing", "completed"):
        writer.execute("UPDATE by_hand SET status = %s WHERE session_id = %s", (status, session), prepare=True)
    return (time.perf_counter() - began) * 1000


def percentiles(values):
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [cuts[49], cuts[94], cuts[98]]


def measure(lab, samples):
    ours, floor = [], []
    lab.empty()
    with lab.pool() as pool, lab.db.connect() as writer, lab.db.connect() as reader:
        writer.execute("CREATE TABLE by_hand (LIKE grading_jobs INCLUDING DEFAULTS)")
        writer.execute("CREATE INDEX ON by_hand (session_id)")
        pool.ctl("resume")
        for n in range(samples):
            time.sleep(random.uniform(0.02, 0.05))
            ours.append(through_pool(writer, reader, n))
            floor.append(by_hand(writer, n))
        writer.execute("DROP TABLE by_hand")
    return ours[10:], floor[10:]


def run(lab):
    ours, floor = measure(lab, lab.pick(410, 2010))
    p, q = percentiles(ours), percentiles(floor)
    table = Table(f"Insert to stored rating, idle pool, {len(ours)} jobs, ms", ["", "p50", "p95", "p99"],
                  [["gradingd"] + [f"{value:.2f}" for value in p],
                   ["three bare commits"] + [f"{value:.2f}" for value in q],
                   ["ratio"] + [f"{a / b:.2f}" for a, b in zip(p, q)]],
                  "Bare: insert, claim and settle one after the other on one connection, on the same disk.")
    share = {name: [(value, 100 * (n + 1) / len(values)) for n, value in enumerate(sorted(values))
                    if n <= len(values) * 0.99] for name, values in (("gradingd", ours), ("three bare commits", floor))}
    return [table], [Plot("Insert to stored rating, idle pool", "% of jobs", share, x="ms")]
