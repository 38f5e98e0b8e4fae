"""tests/check-docs.sh names what is missing or stale: a fault of each kind, planted in a copy."""
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT

PAPERS = ("etc", "include", "init", "migrations", "src", "tests")


@pytest.fixture
def papers(tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in PAPERS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def check(papers):
    return subprocess.run(["sh", "tests/check-docs.sh"], cwd=papers, capture_output=True, text=True,
                          env=dict(os.environ, BUILD=str(BUILD)), timeout=60, check=False)


def change(file, old, new):
    text = pathlib.Path(file).read_text(encoding="utf-8")
    assert text.count(old) > 0, f"{file} has no {old!r}"
    pathlib.Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_papers_are_as_they_should_be(papers):
    done = check(papers)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


SQL = "src/gradingd-sql.7"
ABSENT = "_".join(("grading", "absent"))        # not to be found in this file either
FAULTS = {
    "a key's default in the sample": (
        "etc/gradingd.conf", "workers = 4;", "workers = 5;",
        "etc/gradingd.conf lacks the key with default and help: pool.workers = 4"),
    "a key's help in the sample": (
        "etc/gradingd.conf", "# Worker processes.", "# Processes.",
        "etc/gradingd.conf has what does not exist, as key with default and help: pool.workers"),
    "a key's default in the manual": (
        "src/gradingd.conf.5", ".It Ic pool.workers = 4", ".It Ic pool.workers = 5",
        "src/gradingd.conf.5 lacks the key with default: pool.workers = 4"),
    "a command": (
        "src/gradingctl.8", ".It Ic pause", ".It Ic halt",
        "src/gradingctl.8 lacks the command: pause"),
    "a command too many": (
        "src/gradingctl.8", ".It Ic pause", ".It Ic halt\n.It Ic pause",
        "src/gradingctl.8 has what does not exist, as command: halt"),
    "a metric": (
        "src/gradingd.8", ".It Li gradingd_jobs_claimed_total", ".It Li gradingd_claims_total",
        "src/gradingd.8 lacks the metric: gradingd_jobs_claimed_total"),
    "an outcome": (
        "src/gradingd.8", ".It Li duplicate", ".It Li twice",
        "src/gradingd.8 has what does not exist, as outcome: twice"),
    "a function's argument": (
        SQL, "batch_size integer DEFAULT 5", "batch_size integer DEFAULT 6",
        f"{SQL} lacks the function: grading_enqueue(session_id uuid"),
    "a function too many": (
        SQL, ".It Ic grading_uuid()", ".It Ic grading_uuid()\n.It Ic grading_x()",
        f"{SQL} has what does not exist, as function: grading_x()"),
    "a column's type": (
        SQL, ".It Va alternatives text[]", ".It Va alternatives text",
        f"{SQL} lacks the column: line_ratings.alternatives text[]"),
    "a column that was added": (
        "migrations/092_open_jobs.sql", "INSERT INTO grading_migrations",
        "ALTER TABLE line_ratings\n\tADD COLUMN IF NOT EXISTS score integer;\n"
        "INSERT INTO grading_migrations",
        f"{SQL} lacks the column: line_ratings.score integer"),
    "a right": (
        SQL, ".It grading_jobs Ta SELECT, UPDATE, DELETE", ".It grading_jobs Ta SELECT, UPDATE",
        f"{SQL} lacks the right: gradingd_worker grading_jobs: SELECT, UPDATE, DELETE"),
    "a room": (
        "src/README.md", "| pg | ", "| postgres | ", "src/README.md lacks the room: pg"),
    "a worker's part": (
        "src/README.md", "    settler  ", "    settling ",
        "src/README.md lacks the part of a worker: settler"),
    "a link": (
        "README.md", "](init/)", "](inits/)", "README.md links to inits/, which does not exist"),
    "a file that moved": (
        "src/README.md", "`base/loop.h`", "`base/round.h`",
        "src/README.md names base/round.h, which does not exist"),
    "a function that went": (
        "src/README.md", "`grading_progress()`", f"`{ABSENT}()`",
        f"src/README.md names {ABSENT}(), which does not exist"),
    "a manual page's markup": (
        "src/gradingctl.8", ".Sh FILES", ".Sh FILES\n.Zz", "src/gradingctl.8:"),
}


@pytest.mark.parametrize("file, old, new, words", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named(papers, file, old, new, words):
    change(papers / file, old, new)
    done = check(papers)
    assert done.returncode == 1 and words in done.stdout + done.stderr, done.stdout + done.stderr
