"""Jobs to work on: five distinct lines of a sales rep each, made from real-looking conversations."""
import itertools
import json
import os
import random
import uuid

import harness

LINES = 5           # a job
BATCHES = 4         # a session
NAMES = ["Anna", "Marcus", "Mrs. Ruiz", "Dana", "Mr. Okafor", "Priya", "Tom", "Ms. Lindqvist"]
ENDINGS = ["Offer {n}.", "You are number {n}.", "That is visit {n}.",
           "Reference {n}."]


def conversations():
    """The samples that come with the project, or the JSON lines of BENCH_DATA."""
    if os.environ.get("BENCH_DATA"):
        with open(os.environ["BENCH_DATA"], encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    return [json.loads(file.read_text(encoding="utf-8"))
            for file in sorted((harness.ROOT / "etc" / "samples").glob("*.json"))]


def lines():
    """For ever: what reps say in the conversations, every line different from all others."""
    texts = [entry["text"] for talk in conversations() for entry in talk["transcript"]
             if entry["speaker"] == "rep" and len(entry["text"]) > 15]
    pick = random.Random(1)
    for n in itertools.count(1):
        yield f"{pick.choice(NAMES)}, {pick.choice(texts)} {pick.choice(ENDINGS).format(n=n)}"


def jobs(n):
    """n rows of (session_id, job_data)."""
    pick, said = random.Random(2), lines()
    for job in range(n):
        batch = job % BATCHES
        if batch == 0:
            session = str(uuid.UUID(int=pick.getrandbits(128), version=4))
        yield session, json.dumps({
            "transcript": [{"speaker": "rep", "text": next(said), "index": batch * LINES + line}
                           for line in range(LINES)],
            "batchIndex": batch, "batchSize": LINES, "totalBatches": BATCHES,
            "salesRepName": "Ann", "customerName": "Bo"})
