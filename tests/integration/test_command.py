"""The command rater: a program that answers well, badly, late or not at all, and that never stays behind."""
import glob
import json
import os
import pathlib
import signal
import sys

import pytest

from harness import SCALE, ControlError, is_running, rep, stays, wait_until
from llm_server import expected_rating

PROGRAM = pathlib.Path(__file__).with_name("rating_program.py")
ORDERED_SCALE = ["excellent", "good", "poor", "missed_opportunity"]


def breaker(pool):
    return pool.show("status")["breaker"]


def assert_asked_soon(pool, db):
    """5 s are promised for the breaker; each job has its own backoff."""
    assert pool.show("limits")["until_ms"] <= 5000
    assert db.value("SELECT max(available_at) - now() < interval '10 s' FROM grading_jobs")


class Program:
    """The scripted program of one test, in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.argv = [sys.executable, "-IS", str(PROGRAM), str(directory)]

    def behave(self, *rules):
        new = self.directory / "behave.new"
        new.write_text("\n".join(rules))
        new.rename(self.directory / "behave")

    def asked(self):
        path = self.directory / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def about_self(self):
        return json.loads(wait_until(lambda: (self.directory / "self").exists()
                                     and (self.directory / "self").read_text()))

    def pids(self, word=""):
        """All processes started from it, its children included, whoever their parent is."""
        found = []
        for cmdline in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = pathlib.Path(cmdline).read_bytes()
            except OSError:
                continue
            pid = int(cmdline.split("/")[2])
            if str(self.directory).encode() in words and word.encode() in words and is_running(pid):
                found.append(pid)
        return found

    def own_pids(self):
        return self.pids("rating_program.py")

    def wait_gone(self):
        wait_until(lambda: not self.pids(), what="the program and all it started to be gone")


@pytest.fixture
def program(tmp_path):
    tmp_path.chmod(0o777)
    made = Program(tmp_path)
    yield made
    left = made.pids()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "processes stayed behind"


@pytest.fixture
def make_command_pool(program, make_pool, db):
    """Its pool ends before the program is looked for."""
    def make(command=None, env=None, start=True, **groups):
        groups["queue"] = dict({"poll": "500ms"}, **groups.get("queue", {}))
        groups["rater"] = dict({"backend": "command"}, **groups.get("rater", {}))
        groups["command"] = dict({"argv": program.argv, "timeout": "10s"}, **(command or {}))
        groups["pool"] = dict({"workers": 1}, **groups.get("pool", {}))
        return make_pool(db, start=start, env=env, **groups)

    return make


def keeper_of(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


# ---- good answers ----

def test_a_good_answer_is_stored_as_it_was_given(make_command_pool, db, program):
    make_command_pool()
    texts = ["Hi, I'm Sam.", 'He said "no", didn\'t he?\n{"rating": "excellent"}', "Großartig 🎉"]
    job, ratings = db.completed(rep(*texts))
    assert [r.line_text for r in ratings] == texts
    assert [r.rating for r in ratings] == [expected_rating(text, ORDERED_SCALE) for text in texts]
    assert ratings[0].provenance["rater"] == "command" and "fallback" not in ratings[0].provenance
    assert ratings[0].provenance["model"] == os.path.basename(sys.executable)
    assert job.result["calls"] == 1
    assert program.asked() == [{"sales_rep": "", "customer": "", "scale": ORDERED_SCALE, "context": [],
                                "lines": [{"line": n, "text": text} for n, text in enumerate(texts)]}]


def test_many_jobs_get_each_their_own_answers(make_command_pool, db, program):
    make_command_pool(pool={"workers": 3})
    db.insert_many(400)
    wait_until(lambda: db.count("completed") == 400)
    assert right_ratings(db) == 400
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert len(program.own_pids()) == 3


def test_a_question_larger_than_a_pipe(make_command_pool, db):
    make_command_pool()
    texts = [f"{n} " + "words " * 2000 for n in range(20)]
    _, ratings = db.completed(rep(*texts))
    assert [r.rating for r in ratings] == [expected_rating(text, ORDERED_SCALE) for text in texts]


def test_the_program_finds_a_clean_place(make_command_pool, db, program):
    secret = {"PGPASSWORD": "5ecret", "OPENAI_API_KEY": "sk-5ecret", "MY_KEY": "sk-5ecret", "TZ": "UTC", "FOO": "bar"}
    make_command_pool({"argv": [*program.argv, "two words", "$HOME; 'x", "a,b", ""]}, env=secret,
                      openai={"api_key_env": "MY_KEY"})
    db.completed(rep("Hello."))
    self = program.about_self()
    assert set(self["environ"]) <= {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ",
                                    "TMPDIR"}
    assert self["environ"]["TZ"] == "UTC" and self["environ"]["PATH"]
    assert self["argv"][2:] == ["two words", "$HOME; 'x", "a,b", ""]
    assert self["fds"] == [0, 1, 2]
    assert self["cwd"] == "/" and self["group"] and self["session"]
    assert self["blocked"] == 0 and self["no_new_privs"] == "1"
    assert "5ecret" not in json.dumps(self)


def test_the_program_is_up_before_it_is_needed_and_stays(make_command_pool, db, program):
    make_command_pool()
    wait_until(lambda: (program.directory / "ready").exists())
    pid = program.about_self()["pid"]
    for n in range(5):
        db.completed(rep(f"Line {n}."))
    assert program.own_pids() == [pid]


def test_the_command_line_is_part_of_the_cache_key(make_command_pool, db, program):
    pool = make_command_pool()
    db.completed(rep("Hello."))
    assert db.completed(rep("Hello."))[1][0].cached
    pool.stop()
    pool.configure(command={"argv": [*program.argv, "--stricter"]})
    pool.start()
    assert not db.completed(rep("Hello."))[1][0].cached


def test_a_worker_holds_no_more_than_a_slow_program_can_do(make_command_pool, db, program):
    """One that waits behind others for its own deadline would lose an attempt for nothing."""
    make_command_pool(queue={"job_deadline": "3s"})
    program.behave("slow")
    db.insert_many(20)
    wait_until(lambda: db.count("completed") == 20)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


# ---- bad answers ----

@pytest.mark.parametrize("do, words", [
    ("not_json", "not JSON"), ("wrong_schema", "another shape"), ("empty", "empty"), ("nul", "not JSON"),
    ("unknown_rating", "outside the scale"), ("endless", "larger than its cap"), ("huge", "larger than its cap"),
    ("stray", "in its own way"), ("crash", "signal 12"), ("exit", "exit status 3"), ("cut", "exit status 0"),
    ("closes_output", "closed its output")])
def test_a_job_that_gets_no_answer_fails_by_name_and_no_other_does(make_command_pool, db, program, do, words):
    pool = make_command_pool()
    pool.killed_by.add(signal.SIGUSR2)
    program.behave(f"{do} poison")
    bad = db.insert(rep("poison"), max_attempts=2)
    db.insert_many(20)
    row = db.wait(bad, "failed")
    assert row.attempts == 2 and words in row.error
    assert db.ratings(row.session_id) == []
    wait_until(lambda: db.count("completed") == 20)
    assert right_ratings(db) == 20
    assert len(program.own_pids()) <= 1
    assert breaker(pool) == "closed"


def right_ratings(db):
    """Every line stored so far has its own rating, not that of another question. Returns how many there are."""
    rows = db.rows("SELECT line_text, rating FROM line_ratings")
    assert [row for row in rows if row.rating != expected_rating(row.line_text, ORDERED_SCALE)] == []
    return len(rows)


def other_texts(text, n):
    """n texts whose rating is not that of text, nor that of the one before."""
    texts = [text]
    for number in range(1000):
        new = f"Line {number}."
        if expected_rating(new, ORDERED_SCALE) not in {expected_rating(t, ORDERED_SCALE) for t in (text, texts[-1])}:
            texts.append(new)
    return texts[1:n + 1]


def test_a_late_answer_is_not_taken_for_the_next_one(make_command_pool, db, program):
    """The next questions wait in the worker when the first one is given up."""
    make_command_pool({"timeout": "2s"})
    db.insert_many(20, "Warm {n}.")
    wait_until(lambda: db.count("completed") == 20)
    program.behave("too_late slowly")
    db.rows("INSERT INTO grading_jobs (session_id, job_type, job_data, priority) SELECT gen_random_uuid(), 'line_rating',"
            " jsonb_build_object('transcript', jsonb_build_array(jsonb_build_object('speaker', 'rep', 'text', text,"
            " 'index', 0))), CASE text WHEN 'slowly' THEN 1 ELSE 0 END FROM unnest(%s::text[]) text",
            ["slowly", *other_texts("slowly", 10)])
    wait_until(lambda: db.count("completed") == 30)
    program.behave("good")
    wait_until(lambda: db.count("completed") == 31)
    assert right_ratings(db) == 31


def test_a_program_that_hangs_is_killed_and_costs_nobody_an_attempt(make_command_pool, db, program):
    pool = make_command_pool({"timeout": "1s"})
    program.behave("hang")
    db.insert_many(4)
    wait_until(lambda: breaker(pool) != "closed", what="the breaker to open")
    assert "did not answer within 1s" in pool.ctl("show errors")
    program.behave("good")
    wait_until(lambda: db.count("completed") == 4)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_job_past_its_deadline_takes_its_program_along(make_command_pool, db, program):
    make_command_pool(queue={"job_deadline": "2s"})
    program.behave("hang poison")
    wait_until(lambda: (program.directory / "ready").exists())
    row = db.wait(db.insert(rep("poison"), max_attempts=1), "failed")
    assert "within 2s" in row.error
    db.completed(rep("Hello."))


@pytest.mark.parametrize("do", ["twice", "banner", "one_shot"])
def test_answers_never_get_out_of_step(make_command_pool, db, program, do):
    """What is said unasked may cost attempts, but is no answer to the next question."""
    program.behave(do)
    pool = make_command_pool(cache={"ttl": "0"})
    jobs = [db.insert(rep(text), max_attempts=2) for text in other_texts("x", 4 if do == "banner" else 12)]
    if do == "banner":
        wait_until(lambda: "and was killed" in pool.log)
        program.behave("good")
    for job in jobs:
        db.wait(job, "completed", "failed")
    rated = right_ratings(db)
    if do == "one_shot":
        assert rated == 12 and db.value("SELECT max(attempts) FROM grading_jobs") == 0


# ---- what it says on standard error ----

def test_a_flood_of_complaints_is_read_but_not_all_logged(make_command_pool, db, program):
    pool = make_command_pool()
    program.behave("flood")
    for n in range(2):
        db.completed(rep(f"Line {n}."))
    wait_until(lambda: "more lines are left out" in pool.log)
    log = pathlib.Path(pool.log_path).read_bytes()
    assert b"complaint 0 " in log and b"\x1b" not in log and b"\x07" not in log
    assert 10 <= log.count(b": complaint ") <= 200
    assert len(log) < 200_000
    pool.wait_log(f"command: pid {program.own_pids()[0]}: complaint 0")


# ---- programs that are not there ----

def test_a_program_that_exits_at_once_costs_no_attempt_and_is_waited_for(make_command_pool, db, program):
    program.behave("exit_at_once")
    pool = make_command_pool(pool={"workers": 2})
    db.insert_many(5)
    wait_until(lambda: breaker(pool) != "closed", what="the breaker to open")
    stays(lambda: db.value("SELECT max(attempts) FROM grading_jobs") == 0 and db.count("failed") == 0, 1)
    assert "exit status 9" in pool.ctl("show errors")
    assert_asked_soon(pool, db)
    program.behave("good")
    wait_until(lambda: db.count("completed") == 5)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert breaker(pool) == "closed"


def test_a_program_with_a_banner_is_none_that_rates(make_command_pool, db, program):
    program.behave("banner")
    pool = make_command_pool()
    db.insert_many(6)
    wait_until(lambda: breaker(pool) != "closed" or db.count("failed"), what="the breaker to open")
    assert right_ratings(db) == 0
    program.behave("good")
    wait_until(lambda: db.count("completed") + db.count("failed") == 6)
    assert right_ratings(db) == db.count("completed")


def test_an_answer_that_is_no_json_is_shown(make_command_pool, db, program):
    pool = make_command_pool({"argv": ["/bin/sh", "-c", "while read -r line; do printf 'debug\\007: %0200d\\n' 7; done"]})
    db.insert(max_attempts=1)
    words = f'answered "debug : {"0" * 72}...", which is not JSON, and was killed'
    wait_until(lambda: words in pool.log)
    assert words in str(pool.show("errors"))


def test_a_program_that_is_broken_fails_few_jobs(make_command_pool, db, program):
    """It dies over every question: the first may be to blame, the others are not."""
    program.behave("exit")
    pool = make_command_pool()
    db.insert_many(10)
    wait_until(lambda: breaker(pool) != "closed", what="the breaker to open")
    stays(lambda: db.value("SELECT sum(attempts) FROM grading_jobs") <= 1, 2)
    program.behave("good")
    wait_until(lambda: db.count("completed") == 10)


@pytest.mark.parametrize("trouble, words", [("missing", "No such file"), ("not executable", "Permission denied"),
                                            ("directory", "is no program"), ("bad interpreter", None)])
def test_a_program_that_cannot_be_executed(make_command_pool, db, program, trouble, words):
    path = program.directory / "rate"
    if trouble == "directory":
        path.mkdir()
    elif trouble != "missing":
        path.write_text("#!/nowhere/python\n")
        path.chmod(0o644 if trouble == "not executable" else 0o755)
    pool = make_command_pool({"argv": [str(path), str(program.directory)]}, start=False)
    result = pool.run("-t")
    if words:
        assert result.returncode == 78 and words in result.stdout and "command.argv" in result.stdout
    if os.geteuid() == 0 and trouble == "not executable":
        assert result.returncode == 78
    pool.start()
    db.insert_many(3)
    wait_until(lambda: breaker(pool) != "closed", what="the breaker to open")
    assert "cannot be started" in pool.ctl("show errors")
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    if trouble == "directory":
        path.rmdir()
    new = program.directory / "new"
    new.write_text(f"#!{sys.executable} -IS\n" + PROGRAM.read_text())
    new.chmod(0o755)
    new.rename(path)
    assert_asked_soon(pool, db)
    wait_until(lambda: db.count("completed") == 3)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    assert pool.run("-t").returncode == 0


@pytest.mark.parametrize("argv", [[], ["rate"], ["./rate", "-v"], ["/bin/a\tb"]])
def test_a_command_line_that_cannot_be_meant_is_refused(make_command_pool, argv):
    result = make_command_pool({"argv": argv}, start=False).run("-t")
    assert result.returncode == 78 and "command.argv" in result.stderr


def test_the_check_does_not_start_the_program(make_command_pool, program):
    pool = make_command_pool(start=False)
    result = pool.run("-t")
    assert result.returncode == 0 and "command, model" in result.stdout
    assert not (program.directory / "self").exists()


# ---- no orphans ----

CHILDREN = ["grandchild", "grandchild_with_pipes"]


def started(program, n=3):
    """The program with its two children."""
    wait_until(lambda: (program.directory / "ready").exists() and len(program.pids()) == n, what="the children")


@pytest.mark.parametrize("do", [*CHILDREN, "ignore_term"])
def test_a_killed_worker_leaves_nothing_behind(make_command_pool, db, program, do):
    program.behave(do)
    pool = make_command_pool()
    started(program, 1 if do == "ignore_term" else 3)
    before = program.pids()
    pool.kill(pool.workers()[0])
    wait_until(lambda: not set(before) & set(program.pids()), what="the killed worker's program to be gone")
    db.completed(rep("Hello."))


def test_a_worker_killed_with_its_program_at_work_leaves_nothing_behind(make_command_pool, db, program):
    pool = make_command_pool()
    program.behave("hang")
    job = db.insert()
    wait_until(program.asked)
    before = program.pids()
    pool.kill(pool.workers()[0])
    wait_until(lambda: not set(before) & set(program.pids()), what="the killed worker's program to be gone")
    program.behave("good")
    db.wait(job, "completed")


@pytest.mark.parametrize("do", CHILDREN)
def test_a_program_that_ends_takes_its_children_along(make_command_pool, db, program, do):
    program.behave(do)
    pool = make_command_pool()
    started(program)
    before = program.pids()
    pool.kill(program.own_pids()[0])
    wait_until(lambda: not set(before) & set(program.pids()), what="its children to be gone")
    db.completed(rep("Hello."))
    pool.wait_log("was killed by signal 9 (Killed); starting it again")


def test_a_killed_keeper_leaves_no_process_of_the_group_behind(make_command_pool, db, program):
    """Children that left the group are then beyond reach."""
    pool = make_command_pool()
    wait_until(lambda: (program.directory / "ready").exists())
    pid = program.own_pids()[0]
    os.kill(keeper_of(pid), signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    db.completed(rep("Hello."))
    pool.wait_log("keeper was killed")


@pytest.mark.parametrize("do", [*CHILDREN, "ignore_term", "good"])
@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGQUIT])
def test_a_pool_that_stops_takes_the_program_along(make_command_pool, program, do, signo):
    program.behave(do)
    pool = make_command_pool(pool={"workers": 2, "drain": "10m"})
    wait_until(lambda: len(program.own_pids()) == 2 and (program.directory / "ready").exists())
    assert pool.stop(signo) == 0
    assert not program.pids()
    assert "did not end in time" not in pool.log


@pytest.mark.parametrize("do", CHILDREN)
def test_a_killed_supervisor_leaves_nothing_behind(make_command_pool, program, do):
    program.behave(do)
    pool = make_command_pool()
    started(program)
    pool.send(signal.SIGKILL)
    program.wait_gone()


def test_a_reload_gives_each_new_worker_a_program_of_its_own(make_command_pool, db, program):
    pool = make_command_pool(pool={"workers": 2})
    wait_until(lambda: len(program.own_pids()) == 2)
    before = set(program.own_pids())
    pool.configure(command={"argv": [*program.argv, "new"]})
    pool.ctl("reload")
    wait_until(lambda: len(program.pids("new")) == 2 and not before & set(program.pids()))
    db.completed(rep("Hello."))


def test_a_reload_to_a_rater_that_cannot_be_is_refused(make_command_pool, db, program):
    pool = make_command_pool(rater={"fallback": "rubric"})
    before = pool.children()
    pool.configure(command={"argv": ["/nowhere/rate"]})
    with pytest.raises(ControlError, match="/nowhere/rate: No such file"):
        pool.ctl("reload")
    rubric = pool.directory / "rubric.conf"
    rubric.write_text("nonsense")
    pool.configure(rubric={"file": str(rubric)}, command={"argv": program.argv})
    with pytest.raises(ControlError, match="rubric.conf"):
        pool.ctl("reload")
    pool.send(signal.SIGHUP)
    wait_until(lambda: pool.log.count("the configuration is not reloaded") == 3)
    assert pool.children() == before and pool.show("status")["reloads"] == 0
    db.completed(rep("Hello."))


# ---- the fallback ----

def fallback_pool(make_openai_pool, **groups):
    return make_openai_pool(rater={"fallback": "rubric"}, **groups)


def test_an_outage_is_bridged_by_the_fallback(make_openai_pool, db, llm):
    pool = fallback_pool(make_openai_pool)
    db.completed(rep("Before."))
    assert pool.show("status")["fallback"] == "rubric" and not pool.show("status")["fallback_in_use"]
    llm.behave("503")
    db.insert_many(40)
    wait_until(lambda: db.count("completed") == 41)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    status = pool.show("status")
    assert status["fallback_in_use"] and "rater.fallback" in status["summary"]
    assert pool.show("limits")["fallback_in_use"]
    rows = db.rows("SELECT provenance FROM grading_line_ratings WHERE line_text LIKE 'Line%%'")
    assert all(row.provenance["rater"] == "rubric" and row.provenance["fallback"] is True for row in rows)
    assert db.value("SELECT count(*) FROM grading_jobs WHERE result->>'fallback' = 'true'") == 40
    pool.wait_metric("fallback_lines_total", 40)
    llm.behave("good")

    def asked_again():
        db.completed(rep("Again."), priority=9)
        return breaker(pool) == "closed"

    wait_until(asked_again, what="a probe to close the breaker")

    def rated_by_the_first():
        """A claim that was on its way when the breaker closed is the fallback's still."""
        ratings[:] = db.completed(rep("Line 7 of many."))[1]
        return ratings[0].provenance["rater"] == "openai"

    # What the fallback rated is not in the cache: the first rater is asked.
    ratings = []
    wait_until(rated_by_the_first, what="the first rater to be asked")
    assert not ratings[0].cached
    assert ratings[0].rating == expected_rating("Line 7 of many.", ORDERED_SCALE)
    assert not pool.show("limits")["fallback_in_use"]


def test_while_the_breaker_is_open_what_the_first_rater_rated_is_used(make_openai_pool, db, llm):
    pool = fallback_pool(make_openai_pool)
    first = db.completed(rep("Known."))[1][0]
    pool.ctl("open breaker")
    again = db.completed(rep("Known.", "Unknown."))[1]
    assert again[0].cached and again[0].rating == first.rating and again[0].provenance["rater"] == "openai"
    assert again[1].provenance["fallback"] is True and again[1].rating in SCALE
    assert "held open" in pool.show("status")["summary"]
    pool.ctl("close breaker")
    assert db.completed(rep("Unknown."))[1][0].provenance["rater"] == "openai"


def test_what_was_asked_before_the_fallback_counts(make_openai_pool, db, llm):
    make_openai_pool(cache={"ttl": "0"}, rater={"fallback": "rubric", "lines_per_call": 1})
    llm.behave({"do": "429", "text": "bad", "retry_after": 30}, "good")
    row, _ = db.completed(rep("One.", "Two.", "bad"))
    assert row.result["calls"] == llm.calls and row.result["prompt_tokens"] > 0
    assert row.result["outcomes"]["failed"] == 1


def test_a_fallback_that_is_away_as_well_costs_no_attempt(make_openai_pool, db, llm, program):
    program.behave("exit_at_once")
    pool = make_openai_pool(rater={"fallback": "command"}, command={"argv": program.argv})
    llm.behave("503")
    db.insert_many(6)
    wait_until(lambda: breaker(pool) != "closed")
    wait_until(lambda: "exit status 9" in pool.log)
    stays(lambda: db.value("SELECT max(attempts) FROM grading_jobs") == 0 and db.count("failed") == 0, 1)
    program.behave("good")
    wait_until(lambda: db.count("completed") == 6)
    assert db.value("SELECT max(attempts) FROM grading_jobs") == 0
    pool.stop()
    program.wait_gone()


def test_a_fallback_that_hangs_until_the_deadline_costs_no_attempt(make_openai_pool, db, llm):
    pool = make_openai_pool(rater={"backend": "command", "fallback": "openai"}, command={"argv": ["/bin/false"]},
                            queue={"job_deadline": "2s"}, openai={"timeout": "2s"})
    pool.alarms_expected = True     # the program's, not ours
    pool.ctl("open breaker")
    llm.behave({"do": "hang", "first": 6}, "good")
    for n in range(4):
        db.insert(rep(f"Line {n}."), max_attempts=1)
    wait_until(lambda: db.count("completed") + db.count("failed") == 4)
    assert db.count("failed") == 0 and db.value("SELECT max(attempts) FROM grading_jobs") == 0


def test_a_fallback_program_starts_when_it_is_needed(make_openai_pool, db, llm, program):
    pool = make_openai_pool(rater={"fallback": "command"}, command={"argv": program.argv})
    db.completed(rep("Hello."))
    assert not program.pids()
    pool.ctl("open breaker")
    _, ratings = db.completed(rep("Hello?"))
    assert ratings[0].provenance["rater"] == "command" and ratings[0].provenance["fallback"] is True
    assert program.pids()
    pool.stop()


def test_a_fallback_gets_no_more_at_once_than_it_can_do(make_openai_pool, db, llm, program):
    """Jobs that are handed over when the breaker opens wait their turn; one that does not come in time costs nothing."""
    pool = make_openai_pool(rater={"fallback": "command"}, command={"argv": program.argv, "timeout": "2s"},
                            openai={"timeout": "2s"}, queue={"job_deadline": "3s"}, pool={"workers": 1, "in_flight": 10})
    program.behave("late")
    llm.behave({"do": "503", "hold": "all"})
    for n in range(10):
        db.insert(rep(f"Line {n}."), max_attempts=1)
    wait_until(lambda: llm.in_flight == 10)
    llm.release()
    wait_until(lambda: db.count("completed") + db.count("failed") == 10)
    assert db.count("failed") == 0, db.value("SELECT min(error) FROM grading_jobs")
    pool.stop()


def test_without_a_fallback_nobody_steps_in(make_openai_pool, db, llm):
    pool = make_openai_pool()
    llm.behave("503")
    db.insert_many(6)
    wait_until(lambda: breaker(pool) != "closed")
    assert pool.show("status")["fallback"] is None and not pool.show("limits")["fallback_in_use"]
    stays(lambda: db.count("completed") == 0, 1)
    llm.behave("good")


def test_once_is_done_when_the_fallback_has_rated_all(make_openai_pool, db, llm):
    pool = fallback_pool(make_openai_pool)
    pool.stop()
    llm.behave("503")
    db.insert_many(5)
    result = pool.run("--once")
    assert result.returncode == 0, result.stderr
    assert db.count("completed") == 5


@pytest.mark.parametrize("rater, words", [
    ({"backend": "rubric", "fallback": "rubric"}, "rater.fallback is the same"),
    ({"backend": "rubric", "fallback": "command"}, "command.argv is empty"),
    ({"backend": "rubric", "fallback": "openia"}, 'did you mean "openai"')])
def test_a_fallback_that_cannot_be_is_refused(make_pool, db, rater, words):
    result = make_pool(db, start=False, rater=rater).run("-t")
    assert result.returncode == 78 and words in result.stderr


def test_the_check_looks_at_the_fallback_too(make_pool, db, program):
    pool = make_pool(db, start=False, rater={"fallback": "command"}, command={"argv": ["/nowhere/rate"]})
    result = pool.run("-t")
    assert result.returncode == 78 and "fallback" in result.stdout and "/nowhere/rate" in result.stdout
    pool.configure(command={"argv": program.argv})
    assert pool.run("-t").returncode == 0


def test_a_fallback_that_is_busy_keeps_no_worker_from_its_turn(make_openai_pool, db, llm, program):
    """A job whose lines were looked up while the breaker opened waits until the fallback has a call free."""
    pool = make_openai_pool(rater={"fallback": "command"}, command={"argv": program.argv},
                            pool={"workers": 1, "in_flight": 1})
    program.behave("hang First.")
    pool.ctl("open breaker")
    first = db.insert(rep("First."))
    wait_until(program.asked)
    worker = pool.workers()
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE phrase_cache")
        pool.ctl("close breaker")
        second = db.insert(rep("Second."))
        db.wait(second, "processing")
        db.wait_blocked()
        pool.ctl("open breaker")
    wait_until(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
    program.behave("good")
    pool.killed_by.add(signal.SIGKILL)
    for pid in program.own_pids():
        os.kill(pid, signal.SIGKILL)
    db.wait(first, "completed")
    assert db.wait(second, "completed").attempts == 0
    assert llm.calls == 0 and pool.workers() == worker, "the worker had to be replaced"
    pool.stop()
