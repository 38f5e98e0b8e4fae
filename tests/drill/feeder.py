"""Jobs for the drill, and what must come of them: real text where there is some, every line written down beside its job."""
import itertools
import json
import os
import pathlib
import random
import threading
import time
import uuid

import psycopg

import harness
import material

BATCH = 5               # lines a job
SESSIONS_AT_ONCE = 40
SHARED = harness.ROOT.parent / "shared" / "data" / "persuasion.jsonl"
LOOK_S = 0.2
AWAY_S = 180            # no fault keeps the database away for longer
FILL_S = 900            # how long the jobs that are still missing in the end may take to get in

TABLES = """
CREATE TABLE drill_jobs (id uuid PRIMARY KEY, session_id uuid NOT NULL, lines int NOT NULL);
CREATE TABLE drill_lines (session_id uuid, line_index int, job_id uuid NOT NULL, text text NOT NULL,
                          PRIMARY KEY (session_id, line_index));
CREATE TABLE drill_chunks (id uuid PRIMARY KEY);
"""


def conversations():
    """BENCH_DATA, the dialogues in ../shared/data, or the samples that come with the project."""
    path = pathlib.Path(os.environ.get("BENCH_DATA", SHARED))
    if not path.exists():
        return material.conversations()
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def transcripts(first=0):
    """
    For ever: the conversations, time and again; every other time with lines that were never said before, or were by who
    counted from the same number on.
    """
    talks, pick = conversations(), random.Random(3)
    for n in itertools.count(first):
        entries = pick.choice(talks)["transcript"]
        yield [dict(entry, index=index, text=f"{entry['text']} ({n}/{index})" if n % 2 else entry["text"])
               for index, entry in enumerate(entries)]


def jobs_of(transcript, session=None):
    """The session's jobs: (id, session, job_data, lines to be rated)."""
    session = session or str(uuid.uuid4())
    batches = [transcript[at:at + BATCH] for at in range(0, len(transcript), BATCH)]
    for n, batch in enumerate(batches):
        data = {"transcript": batch, "batchIndex": n, "batchSize": BATCH, "totalBatches": len(batches),
                "salesRepName": "Ann", "customerName": "Bo"}
        yield (str(uuid.uuid4()), session, json.dumps(data),
               [line for line in batch if line["speaker"] in ("rep", "user") and line["text"].strip()])


def insert(connection, sessions, priority=0):
    """Jobs and what is expected of them in one transaction, which is known by a chunk's id. Returns the jobs."""
    chunk, rows = str(uuid.uuid4()), [job for transcript in sessions for job in jobs_of(transcript)]
    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            with connection() as conn, conn.transaction(), conn.cursor() as cursor:
                if cursor.execute("SELECT FROM drill_chunks WHERE id = %s", (chunk,)).fetchone() is not None:
                    return rows
                cursor.execute("INSERT INTO drill_chunks VALUES (%s)", (chunk,))
                with cursor.copy("COPY drill_jobs FROM STDIN") as copy:
                    for job, session, _, lines in rows:
                        copy.write_row((job, session, len(lines)))
                with cursor.copy("COPY drill_lines FROM STDIN") as copy:
                    for job, session, _, lines in rows:
                        for line in lines:
                            copy.write_row((session, line["index"], job, line["text"]))
                with cursor.copy("COPY grading_jobs (id, session_id, job_type, job_data, priority) FROM STDIN") as copy:
                    for job, session, data, _ in rows:
                        copy.write_row((job, session, "line_rating", data, priority))
            return rows
        except psycopg.Error:           # whether it was committed is looked up the next time round
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_S)


class Feeder:
    """A thread that keeps the queue from running empty, whatever happens to the database meanwhile."""

    def __init__(self, connection, backlog):
        self.connection, self.backlog = connection, backlog
        self.inserted = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.transcripts = transcripts()

    def pending(self):
        with self.connection() as conn:
            return conn.execute("SELECT count(*) FROM (SELECT FROM grading_jobs WHERE status = 'pending' LIMIT %s) p",
                                (self.backlog,)).fetchone()[0]

    def run(self):
        while not self.over.is_set():
            try:
                hungry = self.pending() < self.backlog
            except psycopg.Error:
                hungry = False
            if hungry:
                self.inserted += len(insert(self.connection, itertools.islice(self.transcripts, SESSIONS_AT_ONCE)))
            else:
                self.over.wait(LOOK_S)

    def start(self):
        self.thread.start()

    def stop(self, at_least):
        """Ends it as soon as that many jobs are in."""
        deadline = time.monotonic() + FILL_S
        while self.inserted < at_least and self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        self.over.set()
        self.thread.join(AWAY_S)
        assert not self.thread.is_alive() and self.inserted >= at_least, f"only {self.inserted} jobs got in"
