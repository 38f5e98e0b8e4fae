"""A whole pool's life under valgrind: nothing read that was not written, nothing lost, in any of its processes."""
import signal

import pytest

import harness
from harness import rep

OPTIONS = "--quiet --trace-children=no --child-silent-after-fork=no --leak-check=full --num-callers=20"


@pytest.fixture(autouse=True)
def watched(tmp_path, monkeypatch):
    """Each process of gradingd writes what valgrind finds into a file of its own; there must be nothing in it."""
    if b"__asan_init" in harness.GRADINGD.read_bytes():
        pytest.skip("built with sanitizers, which watch by themselves")
    wrapper = tmp_path / "gradingd"
    wrapper.write_text(f"#!/bin/sh\nexec valgrind {OPTIONS} --log-file={tmp_path}/found.%p {harness.GRADINGD} \"$@\"\n",
                       encoding="ascii")
    wrapper.chmod(0o755)
    monkeypatch.setattr(harness, "GRADINGD", wrapper)
    pids = set()
    yield pids
    found = {file.suffix[1:]: file.read_text(encoding="utf-8") for file in tmp_path.glob("found.*")}
    assert len(pids) >= 3 and {str(pid) for pid in pids} <= set(found), "supervisor, janitor and workers each leave a file"
    assert not any(found.values()), "\n".join(found.values())


def test_the_rubric_and_the_cache(make_pool, db, watched):
    pool = make_pool(db, pool={"workers": 2}, rater={"context_lines": 1})
    watched |= {pool.pid, *pool.children().values()}
    for _ in range(2):
        db.insert_many(100)
        harness.wait_until(lambda: db.unsettled() == 0)
    db.insert(job_data=[])
    harness.wait_until(lambda: db.count("failed") == 1)
    for words in ("status", "workers", "queue", "metrics", "limits", "errors", "config"):
        pool.ctl(f"show {words}")
    before = set(pool.children().values())
    pool.send(signal.SIGHUP)            # nobody waits for its answer, so that there is time even on a busy machine
    harness.wait_until(lambda: pool.show("status")["reloads"] == 1)
    harness.wait_until(lambda: len(pool.children()) == 3 and not before & set(pool.children().values()))
    harness.wait_until(lambda: pool.show("status")["workers_idle"] == 2)
    watched |= set(pool.children().values())
    pool.stop()


def test_a_model_that_answers_badly(make_openai_pool, db, llm, watched):
    llm.behave({"do": "429", "first": 1, "retry_after": 1}, {"do": "500", "first": 1}, "good")
    pool = make_openai_pool(pool={"workers": 1})
    watched |= {pool.pid, *pool.children().values()}
    for n in range(5):
        db.insert(rep(f"What matters to you, {n}?"))
    harness.wait_until(lambda: db.count("completed") == 5)
    pool.stop()
