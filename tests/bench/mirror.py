"""What the mirror costs: one session of 2,500 lines, by a model that takes half a second, with it and without.

The application's table has a transcript of 5,000 entries, and a trigger of its own. Counted from the moment the pool may
claim to the last job stored; and until the page that polls the table sees the session as completed. By turns, so that
what the machine does to one it does to the other.
"""
import contextlib
import time

import harness
from calls import Model
from lab import median, spread
from report import Table

BATCHES, LINES = 500, 5
WORKERS, IN_FLIGHT = 2, 128
LATENCY_S = 0.5

TABLE = """
    CREATE TABLE IF NOT EXISTS live_sessions (id uuid PRIMARY KEY, analytics jsonb, full_transcript jsonb,
        grading_status text CHECK (grading_status IN ('pending', 'queued', 'processing', 'complete', 'failed')));
    CREATE OR REPLACE FUNCTION derive_status() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.grading_status IS NOT DISTINCT FROM OLD.grading_status THEN
            NEW.grading_status := coalesce(NEW.analytics ->> 'line_ratings_status', 'pending');
        END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER derive BEFORE UPDATE OF analytics ON live_sessions
        FOR EACH ROW EXECUTE FUNCTION derive_status();
"""
SESSION = """
    TRUNCATE live_sessions;
    INSERT INTO live_sessions VALUES ('{id}', '{{"talk_ratio": 0.5}}', (SELECT jsonb_agg(jsonb_build_object('id', n,
        'speaker', CASE n % 2 WHEN 0 THEN 'rep' ELSE 'customer' END, 'text', concat('What was said as number ', n, '.'))
        ORDER BY n) FROM generate_series(0, {entries}) n), 'pending');
    INSERT INTO grading_jobs (session_id, job_type, job_data) SELECT '{id}', 'line_rating', jsonb_build_object(
        'batchIndex', b, 'batchSize', {lines}, 'totalBatches', {batches}, 'transcript', (SELECT jsonb_agg(
            jsonb_build_object('speaker', 'rep', 'text', concat('What was said as number ', 2 * n, '.')) ORDER BY n)
            FROM generate_series(b * {lines}, (b + 1) * {lines} - 1) n)) FROM generate_series(0, {batches} - 1) b;
"""


class Taken:
    """One session."""

    def __init__(self, lab, model, mirror):
        session = harness.new_session()
        with lab.pool(workers=WORKERS, mirror=mirror, pool={"in_flight": IN_FLIGHT}, rater={"backend": "openai"},
                      openai={"base_url": model.url + "/v1", "model": "bench", "api_key_env": "", "proxy": "none"}) as pool:
            lab.empty()
            lab.db.rows(SESSION.format(id=session, batches=BATCHES, lines=LINES, entries=2 * BATCHES * LINES - 1))
            lab.settle_down()
            if mirror == "on":
                harness.wait_until(pool.publisher)
            began = time.monotonic()
            self.run = lab.burn(pool, BATCHES)
            self.writes = self.shown_s = 0
            if mirror == "on":
                harness.wait_until(lambda: lab.db.value("SELECT analytics ->> 'line_ratings_status' FROM live_sessions")
                                   == "completed")
                self.shown_s = time.monotonic() - began
                self.writes = pool.metric("mirror_writes_total")
                right = lab.db.value("SELECT count(*) FROM live_sessions l, jsonb_array_elements(analytics -> 'line_ratings') r"
                                     " WHERE l.full_transcript -> (r ->> 'line_index')::int ->> 'text' = r ->> 'line_text'")
                assert right == BATCHES * LINES, f"{right} of {BATCHES * LINES} lines are shown where they belong"


def run(lab):
    lab.db.rows(TABLE)
    taken = {"off": [], "on": []}
    with contextlib.closing(Model(LATENCY_S)) as model:
        for _ in range(lab.pick(5, 9)):
            for mirror in taken:
                taken[mirror].append(Taken(lab, model, mirror))
    lab.db.rows("DROP TABLE live_sessions")
    rows = [[f"mirror = \"{mirror}\"", spread((t.run.seconds for t in runs), "{:.2f}"),
             spread((t.shown_s for t in runs), "{:.2f}") if mirror == "on" else "",
             spread((t.writes for t in runs)), f"{median(runs, lambda t: t.run.postgres_s):.2f}"]
            for mirror, runs in taken.items()]
    ratio = median(taken["on"], lambda t: t.run.seconds) / median(taken["off"], lambda t: t.run.seconds)
    note = f"Median (least-greatest). With the mirror it takes {ratio:.2f} times as long."
    return [Table(f"A session of {BATCHES * LINES:,} lines in {BATCHES} jobs, {LATENCY_S} s a call, {IN_FLIGHT * WORKERS} calls"
                  " at a time", ["", "seconds", "until shown as completed", "writes of live_sessions", "Postgres CPU s"],
                  rows, note)], []
