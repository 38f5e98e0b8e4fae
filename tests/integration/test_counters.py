"""A session's counters are what a recount says, whatever was done to its jobs.

Random operations, by the daemon's own statements, the functions for applications and by hand; after
each of them the counters of all sessions are compared with the jobs and lines that are there.
GRADINGD_SEED repeats a run.
"""
import collections
import os
import random
import re
import time
import uuid

import pytest
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

import harness

SECONDS = 10
OPERATIONS = 1500
WORKERS = ["host/1/1", "host/2/1"]
LAPSE_MS = 600000

Job = collections.namedtuple("Job", "session lines skipped batches")


class Play:
    """The database, those who work on it, and what was counted for each job so far."""

    def __init__(self, db, statements, seed):
        self.db, self.statements, self.random = db, statements, random.Random(seed)
        db.rows("SELECT setseed(%s)", self.random.random())
        self.conn = db.connect(row_factory=tuple_row)      # for columns without names
        self.jobs, self.counted, self.gone = {}, {}, collections.Counter()
        self.lines, self.skipped = collections.Counter(), collections.Counter()
        self.in_hand, self.past = {}, []
        self.peak, self.batches = collections.Counter(), collections.Counter()
        self.cursors, self.latest = {}, collections.Counter()
        self.announced, self.done = {}, []
        self.next_line = 0
        self.sessions = [str(uuid.UUID(int=self.random.getrandbits(128))) for _ in range(4)]

    # ---- the daemon's statements ----

    def run(self, name, *values):
        types, text = self.statements[name]
        assert len(types) == len(values), name
        sql = re.sub(r"\$(\d+)", r"%(p\1)s", text.replace("%", "%%"))
        parameters = {f"p{n}": value for n, value in enumerate(values, 1)}
        cursor = self.conn.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def searched(self):
        return harness.claim_of_everything(self.random.randint(1, 6))

    def took(self, rows, who):
        for row in rows:
            self.in_hand[str(row[0])] = {"claim": row[2], "who": who, "was": row[6]}

    def claim(self):
        who = self.random.choice(WORKERS)
        name = self.random.choice(["claim", "claim_briefly"])
        self.took(self.run(name, *self.searched(), who), who)

    def batch(self, chosen, statuses, lines, again=None):
        """$1 to $30 of a settlement: jobs, some of their lines, and lines that were sent before."""
        at, sent, documents = [], [], []
        for place, (job, status) in enumerate(zip(chosen, statuses), 1):
            facts, held = self.jobs[job], self.in_hand[job]
            result = None
            if status in ("completed", "failed"):
                documents.append(Jsonb({"lines": len(facts.lines), "skipped": facts.skipped}))
                result = len(documents)
            at.append((job, held["claim"], status, int(status == "pending"), 0, None, result,
                       held["was"], facts.batches, len(facts.lines), facts.skipped,
                       len(lines[job])))
            for n, index in enumerate(lines[job] + (again or {}).get(job, []), 1):
                sent.append((place, n, index, f"Line {index}.", "good", "", *[None] * 7))
        columns = [list(column) for column in zip(*at)]
        columns += [list(column) for column in zip(*sent)] if sent else [[]] * 13
        return *columns, documents, [], [], self.in_hand[chosen[0]]["who"], [None] * len(chosen)

    def unstored(self, job):
        rows = self.db.rows("SELECT line_index FROM line_ratings WHERE session_id = %s",
                            self.jobs[job].session)
        stored = {row.line_index for row in rows}
        return [index for index in self.jobs[job].lines if index not in stored]

    def chosen(self, wanted=lambda job: True):
        who = self.random.choice(WORKERS)
        mine = [job for job, held in self.in_hand.items() if held["who"] == who and wanted(job)]
        return self.random.sample(mine, min(len(mine), self.random.randint(1, 4)))

    def settle(self):
        jobs = self.chosen()
        if not jobs:
            return
        statuses = self.random.choices(["completed", "failed", "pending", "processing"],
                                       [2, 1, 1, 1], k=len(jobs))
        lines, again = {}, {}
        for job, status in zip(jobs, statuses):
            missing = self.unstored(job)
            again[job] = [index for index in self.jobs[job].lines
                          if index not in missing and self.random.random() < 0.3]
            some = len(missing) if status == "completed" else self.random.randint(0, len(missing))
            lines[job] = self.random.sample(missing, some)
        self.settle_whole(*self.batch(jobs, statuses, lines, again))
        self.over(job for job, status in zip(jobs, statuses) if status != "processing")

    def settle_whole(self, *batch):
        """What opened sessions and did no more is sent again, as a worker does."""
        if any(place < 0 for (place,) in self.run("settle", *batch, LAPSE_MS)):
            assert all(place > 0 for (place,) in self.run("settle", *batch, LAPSE_MS))

    def all_completed(self, jobs):
        lines = {job: self.unstored(job) for job in jobs}
        return self.batch(jobs, ["completed"] * len(jobs), lines)

    def complete(self):
        """The quick form, for jobs that were never counted."""
        jobs = self.chosen(lambda job: self.in_hand[job]["was"] is None)
        if not jobs:
            return
        self.run("complete", *self.all_completed(jobs))
        self.over(jobs)

    def hold(self):
        """Claimed by locks alone, and completed in the same transaction; sometimes it is lost."""
        before = dict(self.in_hand)
        with self.conn.transaction(force_rollback=self.random.random() < 0.2):
            rows = self.run("hold", *self.searched())
            self.took(rows, WORKERS[0])
            jobs = [str(row[0]) for row in rows if row[6] is None]
            if jobs:
                self.run("complete_held", *self.all_completed(jobs))
        self.in_hand = before

    def settle_too_late(self):
        """Of a claim that has moved on: nothing happens."""
        if self.past:
            job, held = self.random.choice(self.past)
            if job in self.jobs and job not in self.in_hand:
                self.in_hand[job] = held
                lines = {job: list(self.jobs[job].lines)}
                self.settle_whole(*self.batch([job], ["completed"], lines))
                del self.in_hand[job]

    def over(self, jobs):
        for job in list(jobs):
            self.past.append((job, self.in_hand.pop(job)))

    def recover(self):
        """A worker dies: with a job in hand or not, of itself or not."""
        who = self.random.choice(WORKERS)
        mine = [job for job, held in self.in_hand.items() if held["who"] == who]
        loose = [(row.id, row.claim) for row in self.db.rows(
            "SELECT id::text, claim FROM grading_jobs WHERE status = 'pending' AND times_claimed = 0")]
        held = [(job, self.in_hand[job]["claim"]) for job in mine]
        job, claim = self.random.choice(held + loose + [(None, 0)])
        found = self.run("left_behind", [who], [job], [claim], [self.random.choice([False, True, None])],
                         [self.random.random() < 0.5], [None], harness.NOWHERE, 1000)
        if found:
            _, jobs, _, claims, _, loose, guilt, weight = map(list, zip(*found))
            self.run("recover", jobs, claims, ["was killed"] * len(jobs), ["1"] * len(jobs), guilt,
                     weight, loose)
        self.over(mine)

    def reap(self):
        self.db.rows("UPDATE grading_jobs SET started_at = now() - interval '1 hour'"
                     " WHERE status = 'processing' AND random() < 0.5")
        found = self.run("stuck", LAPSE_MS, harness.NOWHERE, 1000)
        if found:
            jobs, _, claims = map(list, zip(*found))
            self.run("reap", LAPSE_MS, self.random.choice(["host/", "elsewhere/"]), jobs, claims)

    def release_lost(self):
        who = self.random.choice(WORKERS)
        mine = [held["claim"] for held in self.in_hand.values() if held["who"] == who]
        found = self.run("lost", who, mine[1:])
        if found:
            jobs, _, claims = map(list, zip(*found))
            self.run("release_lost", who, jobs, claims)

    # ---- applications, and people ----

    def enqueue(self):
        session, n = str(uuid.UUID(int=self.random.getrandbits(128))), self.random.randint(1, 6)
        jobs = self.db.value("SELECT grading_enqueue(%s, %s, batch_size => 2)", session,
                             Jsonb(harness.rep(*[f"Line {i}." for i in range(n)])))
        rows = self.db.rows("SELECT id, job_data FROM grading_jobs WHERE session_id = %s", session)
        assert len(rows) == jobs
        for row in rows:
            lines = [entry["index"] for entry in row.job_data["transcript"]]
            self.jobs[str(row.id)] = Job(session, lines, 0, jobs)
        self.sessions.append(session)
        self.announced[session] = n
        self.batches[session] = jobs

    def insert(self):
        session = self.random.choice(self.sessions)
        if session in self.announced:
            return
        n, skipped = self.random.randint(0, 3), self.random.randint(0, 1)
        batches = self.random.choice([0, 0, 3])
        lines = list(range(self.next_line, self.next_line + n))
        self.next_line += n
        data = {"transcript": harness.rep(*["Line."] * n)}
        if batches:
            data["totalBatches"] = batches
        job = self.db.insert(session=session, job_data=data, max_attempts=self.random.randint(1, 3))
        self.jobs[str(job)] = Job(session, lines, skipped, batches)
        self.batches[session] = max(self.batches[session], batches)

    def retry(self):
        self.db.rows("SELECT grading_retry_many(%s)", self.random.sample(self.sessions, 2))

    def cancel(self):
        self.db.rows("SELECT grading_cancel(%s)", self.random.choice(self.sessions))

    def runbook(self):
        self.db.rows("UPDATE grading_jobs SET status = 'pending', attempts = attempts + 1"
                     " WHERE status = 'processing' AND random() < 0.5")

    def again_by_hand(self):
        """Finished jobs are made pending, as people do who know of no function for it."""
        self.db.rows("UPDATE grading_jobs SET status = 'pending'"
                     " WHERE status IN ('completed', 'failed') AND random() < 0.1")

    def fail_by_hand(self):
        self.db.rows("UPDATE grading_jobs SET status = 'failed', failed_at = now()"
                     " WHERE status = 'pending' AND random() < 0.1")

    def delete_by_hand(self):
        """What a job was counted for stays."""
        for row in self.db.rows("DELETE FROM grading_jobs"
                                " WHERE status = 'completed' AND random() < 0.1 RETURNING id"):
            self.in_hand.pop(str(row.id), None)
            self.gone[self.jobs.pop(str(row.id)).session, self.counted.pop(str(row.id))] += 1

    # ---- counting ----

    OPERATIONS = [insert] * 6 + [claim] * 6 + [settle] * 6 + [complete] * 3 + [hold] * 2 + [
        enqueue, settle_too_late, recover, reap, release_lost, retry, retry, cancel, runbook,
        again_by_hand, fail_by_hand, delete_by_hand]

    def step(self):
        operation = self.random.choice(self.OPERATIONS)
        self.done.append(operation.__name__)
        self.db.rows("UPDATE grading_jobs SET available_at = now() - interval '1 s'"
                     " WHERE available_at > now()")
        before = dict(self.db.rows("SELECT id::text, result FROM grading_jobs"))
        operation(self)
        self.note(before, operation in (Play.settle, Play.complete, Play.hold))
        self.compare()
        self.follow()

    def note(self, before, settled):
        """How jobs are counted now. The lines of one are counted when it is settled for the first
        time, and what its result says is taken back when it is tried again."""
        lines, skipped = collections.Counter(), collections.Counter()
        for row in self.db.rows("SELECT id::text, counted_as FROM grading_jobs"):
            facts, was = self.jobs[row.id], self.counted.get(row.id)
            if was is None and row.counted_as and settled:
                lines[facts.session] += len(facts.lines)
                skipped[facts.session] += facts.skipped
            elif was and row.counted_as is None:
                lines[facts.session] -= (before[row.id] or {}).get("lines", 0)
                skipped[facts.session] -= (before[row.id] or {}).get("skipped", 0)
            self.counted[row.id] = row.counted_as
        for count, moved in (self.lines, lines), (self.skipped, skipped):
            for session, n in moved.items():
                count[session] = max(count[session] + n, 0)

    def compare(self):
        counts = collections.Counter(self.gone)
        counts.update((self.jobs[job].session, as_) for job, as_ in self.counted.items())
        lines = {row.session_id: row for row in self.db.rows(
            "SELECT session_id::text, count(*) AS n FROM line_ratings GROUP BY 1")}
        rows = {str(row.session_id): row for row in self.db.rows("SELECT * FROM grading_sessions")}
        assert {session for session, as_ in counts if as_} <= set(rows), self.done[-5:]
        for session, row in rows.items():
            self.compare_one(row, counts[session, "completed"], counts[session, "failed"],
                             lines.get(session))

    def compare_one(self, row, completed, failed, lines):
        session = str(row.session_id)
        self.peak[session] = max(self.peak[session], completed + failed)
        expected = {
            "completed_batches": completed, "failed_batches": failed,
            "rated_lines": lines.n if lines else 0, "skipped_lines": self.skipped[session],
            "total_lines": self.announced.get(session, self.lines[session])}
        found = {name: getattr(row, name) for name in expected}
        assert found == expected, (session, self.done[-5:])
        most = max(self.peak[session], self.batches[session])
        assert self.peak[session] <= row.total_batches <= most, self.done[-5:]
        over = completed + failed >= max(row.total_batches, 1)
        assert (row.completed_at is not None) == over, self.done[-5:]

    def follow(self):
        """Each line that was stored has a cursor above all that its session ever had."""
        before = dict(self.latest)
        for row in self.db.rows("SELECT session_id::text, line_index, seq FROM line_ratings ORDER BY seq"):
            line = row.session_id, row.line_index
            if self.cursors.get(line) != row.seq:
                assert row.seq > max(before.get(row.session_id, 0), self.latest[row.session_id]), self.done[-5:]
                self.cursors[line] = self.latest[row.session_id] = row.seq


@pytest.fixture
def seed():
    value = int(os.environ.get("GRADINGD_SEED") or random.SystemRandom().getrandbits(32))
    print(f"GRADINGD_SEED={value}")
    return value


def test_counters_are_what_a_recount_says(db, statements, seed):
    play = Play(db, statements, seed)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and len(play.done) < OPERATIONS:
        play.step()
    assert len(play.done) > 20
    play.conn.close()
