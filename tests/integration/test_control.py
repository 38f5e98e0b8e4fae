"""The control socket: text and JSON, errors, clients that are slow, silent or too many."""
import contextlib
import grp
import json
import os
import socket
import subprocess
import sys

import pytest

from harness import PATIENCE_S, ControlError, control_exchange, elapsed, gradingctl, promptly, read_to_end, rep, stays, unframe, wait_until

VIEWS = ["status", "workers", "queue", "metrics", "config", "errors", "limits", "version"]


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_comes_as_text_and_as_json(pool, view):
    assert pool.ctl(f"show {view}").strip() or view == "errors"
    assert isinstance(pool.show(view), (dict, list))


def test_the_status_tells_what_goes_on(pool, db):
    db.completed(rep("Hello.", "Hello."))
    pool.wait_metric("lines_rated_total", 2)
    status = wait_until(lambda: (s := pool.show("status"))["workers_idle"] == 2 and s["database_connected"] == 3 and s)
    assert (status["phase"], status["summary"], status["workers_wanted"], status["workers_alive"]) == ("up", "at work", 2, 2)
    assert (status["jobs_completed"], status["lines_rated"], status["jobs_in_flight"]) == (1, 2, 0)
    assert (status["rater"], status["breaker"], status["children"]) == ("rubric", "closed", 3)
    assert status["uptime_ms"] > 0


def test_the_workers_are_listed_with_their_real_pids(pool):
    rows = pool.show("workers")
    assert [row["role"] for row in rows] == ["janitor", "worker", "worker"]
    for row in rows:
        with open(f"/proc/{row['pid']}/status", encoding="utf-8") as status:
            assert f"PPid:\t{pool.pid}\n" in status.read()


def test_metrics_are_prometheus_text(pool, db):
    db.completed(rep("Hello."))
    pool.wait_metric("lines_rated_total", 1)
    pool.wait_metric("jobs_completed_total", 1)
    text = pool.ctl("show metrics")
    values = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
    calls = {name: values.pop(name) for name in list(values) if name.startswith("gradingd_rater_call_seconds_")}
    assert calls["gradingd_rater_call_seconds_count"] == calls['gradingd_rater_call_seconds_bucket{le="+Inf"}'] == 0
    assert "# TYPE gradingd_rater_call_seconds histogram" in text
    assert values["gradingd_jobs_completed_total"] == 1
    assert values["gradingd_lines_rated_total"] == 1
    for name in values:
        assert f"# HELP {name} " in text and f"# TYPE {name} " in text
    assert set(values) <= set(pool.show("metrics"))


def test_help_names_every_command(pool):
    text = pool.ctl("help")
    for words in [*(f"show {view}" for view in VIEWS), "pause", "resume", "drain", "reload", "scale N", "recycle", "log"]:
        assert words in text
    assert {row["command"].removesuffix(" [json]") for row in json.loads(pool.ctl("help json"))} >= {"pause", "show status"}


@pytest.mark.parametrize("request_line", [
    b"\n", b"nonsense\n", b"show\n", b"show everything\n", b"scale\n", b"scale 1 2\n", b"log loud\n", b"recycle 999\n",
    b"show status json json\n", b"show\x00status\n", b"\xff\xfe\n", b"x" * 512, b"1 2 3 4 5 6 7 8 9 10\n",
    b"GET / HTTP/1.0\r\n\r\n"], ids=repr)
def test_what_is_no_command_gets_a_reason(pool, request_line):
    reply = control_exchange(pool.socket, request_line)
    assert reply.startswith(b"err ") and reply.endswith(b"\n") and len(reply) < 500
    assert pool.show("status")["phase"] == "up"


def test_an_endless_line_is_answered_and_cut_off(pool):
    reply = control_exchange(pool.socket, b"show status" + b" " * 100000)
    assert reply.startswith(b"err ")


def test_words_may_be_cut_short(pool):
    assert "at work" in pool.ctl("sh st")


def test_a_line_without_its_end_is_not_run(pool):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE_S)
        s.connect(pool.socket)
        s.sendall(b"pause")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(100) == b""
    assert pool.show("status")["paused"] is False


def test_silent_clients_are_dropped_and_do_not_disturb(pool, db):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(30)]
        for s in silent:
            s.settimeout(PATIENCE_S)
            s.connect(pool.socket)
            if s is silent[0]:
                s.sendall(b"show st")
        assert pool.show("status")["phase"] == "up"
        db.completed(rep("Meanwhile."))
        assert all(read_to_end(s) == b"" for s in silent)


FLOOD = """
import select, socket, sys, time
poll, clients, over = select.poll(), {}, time.monotonic() + float(sys.argv[2])
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    clients[s.fileno()] = s
    poll.register(s, select.POLLIN)
for _ in range(120):
    connect()
print("flooding", flush=True)
while time.monotonic() < over:
    for fd, _ in poll.poll(100):
        poll.unregister(fd)
        clients.pop(fd).close()
        connect()
"""


def test_a_flood_of_silent_clients_hurts_nobody(pool, db):
    """More than there is room for, and each comes back as soon as it is sent away."""
    with subprocess.Popen([sys.executable, "-c", FLOOD, pool.socket, str(PATIENCE_S)], stdout=subprocess.PIPE) as flood:
        try:
            assert flood.stdout.readline() == b"flooding\n"
            promptly(lambda: elapsed(lambda: pool.show("status")), 20)
            assert gradingctl("-s", pool.socket, "reload").returncode == 0
            db.completed(rep("Meanwhile."))
        finally:
            flood.kill()


def test_a_slow_reader_gets_its_answer(pool):
    with socket.socket(socket.AF_UNIX) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.settimeout(PATIENCE_S)
        s.connect(pool.socket)
        s.sendall(b"show metrics\n")
        reply = read_to_end(s, 300)
    assert "gradingd_jobs_completed_total" in unframe(reply)


def test_a_client_that_goes_away_is_no_trouble(pool):
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE_S)
            s.connect(pool.socket)
            s.sendall(b"show metrics\n")
    wait_until(pool.is_up)
    stays(lambda: pool.process.poll() is None, 0.2)


def test_a_scrape_costs_no_statement_and_little_time(pool):
    wait_until(lambda: pool.show("status")["database_listening"])
    wait_until(lambda: pool.show("queue")["age_ms"] is not None)
    before, took = pool.metric("statements_total"), []
    for _ in range(100):
        took.append(elapsed(lambda: control_exchange(pool.socket, b"show metrics\n")))
    assert pool.metric("statements_total") - before <= 4 + sum(took)        # a look at the queue may fall in between
    assert min(took) < 0.005, took      # what else is running delays some of them, what it costs delays all


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as somebody else")
def test_readers_and_admins_are_told_apart(make_pool, db):
    group = grp.getgrgid(65534).gr_name     # "nogroup" or "nobody"
    pool = make_pool(db, control={"group": group})
    ask = ("import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
           "s.sendall(sys.argv[2].encode()+b'\\n'); print(s.makefile().read())")

    def as_reader(words):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               sys.executable, "-c", ask, pool.socket, words], capture_output=True, text=True,
                              check=True, timeout=PATIENCE_S).stdout

    assert as_reader("show version").startswith("ok ")
    assert as_reader("pause").startswith("err ")
    assert pool.show("status")["paused"] is False


def test_the_socket_is_for_its_owner_alone(pool):
    assert os.stat(pool.socket).st_mode & 0o777 == 0o600


def test_what_went_wrong_is_shown(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave("401")
    db.insert_many(4)
    row = wait_until(lambda: pool.show("errors"))[0]
    assert "401" in row["error"] and row["age_ms"] >= 0


def test_an_unknown_view_is_refused_with_what_there_is(pool):
    with pytest.raises(ControlError, match="status, workers, queue"):
        pool.ctl("show nothing")
