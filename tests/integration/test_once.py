"""gradingd --once: drain the queue, say what was done, exit; for cron."""
import json
import subprocess

import pytest

from harness import GRADINGD, PATIENCE_S, rep


@pytest.fixture
def once(make_pool, db):
    """once(*options, **groups): (exit status, what it printed)."""

    def run(*options, make=make_pool, **groups):
        pool = make(db, start=False, **groups)
        result = pool.run("--once", *options)
        pool.wait_gone()
        lines = result.stdout.splitlines()
        return result, json.loads(lines[0]) if len(lines) == 1 else None

    return run


def test_it_drains_the_queue_and_says_so(once, db):
    db.insert_many(300)
    bad = db.insert(job_data=[])
    result, summary = once()
    assert result.returncode == 0
    assert (db.count("completed"), db.job(bad).status) == (300, "failed")
    assert (summary["claimed"], summary["completed"], summary["failed"], summary["lines_rated"]) == (301, 300, 1, 300)


def test_a_summary_that_gets_lost_is_told(make_pool, db):
    pool = make_pool(db, start=False)
    db.insert_many(3)
    with open("/dev/full", "wb") as full:
        result = subprocess.run([GRADINGD, "-c", pool.config_path, "--once"], env=pool.env, text=True, stdout=full,
                                stderr=subprocess.PIPE, timeout=2 * PATIENCE_S, check=False)
    assert (result.returncode, db.count("completed")) == (1, 3)
    assert "standard output does not take the summary: No space left on device" in result.stderr


def test_an_empty_queue_is_no_news(once):
    result, summary = once(queue={"poll": "1h"})        # which it does not wait for
    assert result.returncode == 0 and summary["claimed"] == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_max_jobs_is_kept_to_the_job(once, db, workers):
    db.insert_many(500)
    result, summary = once("--max-jobs", "130", pool={"workers": workers, "claim_batch": 50})
    assert result.returncode == 0 and summary["claimed"] == 130
    assert db.count("completed") == 130 and db.count("pending") == 370


def test_workers_that_retire_do_not_end_it_early(once, db):
    db.insert_many(100)
    once(pool={"workers": 1, "max_jobs": 10, "claim_batch": 5})
    assert db.count("completed") == 100


def test_it_waits_for_answers_under_way(once, db, llm, make_openai_pool):
    llm.behave({"delay_ms": 800})       # long after the queue has run dry
    db.insert_many(10)
    result, summary = once(make=make_openai_pool)
    assert result.returncode == 0 and summary["completed"] == 10


def test_jobs_for_later_are_not_waited_for(once, db):
    db.insert(available_at=db.value("SELECT now() + interval '1 hour'"))
    result, summary = once()
    assert result.returncode == 0 and summary["claimed"] == 0


def test_without_a_database_it_says_try_later(once, db, postgres):
    postgres.stop("immediate")
    try:
        result, _ = once()
    finally:
        postgres.start()
    assert result.returncode == 75
    assert "cannot connect to the database" in result.stderr


def test_without_a_provider_it_says_try_later_and_spends_no_attempt(once, db, llm, make_openai_pool):
    llm.behave("401")
    db.insert_many(5)
    result, _ = once(make=make_openai_pool)
    assert result.returncode == 75
    assert db.count("pending") == 5 and db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_wrong_configuration_says_so(once):
    result, _ = once(queue={"poll": "1 fortnight"})
    assert result.returncode == 78 and "queue.poll" in result.stderr


def test_it_runs_beside_a_daemon(once, make_pool, db):
    pool = make_pool(db)
    pool.pause()
    db.insert_many(20)
    result, summary = once(control={"socket": pool.socket})
    assert result.returncode == 0 and summary["completed"] == 20
    pool.ctl("resume")
    db.wait(db.insert(rep("And on.")), "completed")


@pytest.mark.parametrize("arguments", [["--max-jobs", "0"], ["--max-jobs", "x"], ["--max-jobs", "-5"], ["-d"], ["-t"]])
def test_nonsense_is_refused(once, arguments):
    result, _ = once(*arguments)
    assert result.returncode == 1 and result.stderr
