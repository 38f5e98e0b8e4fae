"""gradingctl's own commands, as a person and a script use them."""
import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import uuid

import pytest

from harness import GRADINGCTL, PATIENCE_S, gradingctl, wait_until

CALL = {"id": "call-17", "salesRepName": "Ada", "transcript": [
    {"speaker": "rep", "text": "What brought you here today?"},
    {"speaker": "customer", "text": "A friend told me about you."},
    {"speaker": "rep", "text": "That is \u001b[31mgood\u001b[0m to hear."}]}
SESSION = str(uuid.uuid5(uuid.NAMESPACE_URL, "call-17"))


@pytest.fixture
def ctl(db):
    def run(*words, stdin=""):
        return subprocess.run([GRADINGCTL, "-d", db.conninfo, *words], input=stdin, capture_output=True, text=True,
                              timeout=120, check=False)
    return run


def test_enqueue_waits_until_all_is_rated(pool, ctl, tmp_path):
    file = tmp_path / "call.json"
    file.write_text(json.dumps(CALL, indent=2), encoding="utf-8")
    result = ctl("enqueue", str(file), "--wait")
    assert result.returncode == 0, result.stderr
    assert "rated 2 lines of 1 session" in result.stdout
    progress = json.loads(ctl("--json", "progress", "call-17").stdout)
    assert (progress["session_id"], progress["status"], progress["lines_done"]) == (SESSION, "completed", 2)


def test_waiting_tells_of_lines_that_were_given_up(make_openai_pool, llm, ctl):
    make_openai_pool()
    llm.behave({"do": "refusal", "text": "poison"}, "good")
    call = {"id": "call-18", "transcript": [{"speaker": "rep", "text": text} for text in ("Fine.", "poison")]}
    result = ctl("enqueue", "-", "--wait", "--batch-size", "1", stdin=json.dumps(call))
    assert result.returncode == 1 and "rated 1 line of 1 session" in result.stdout
    assert "1 line given up" in result.stdout


def test_enqueueing_again_changes_nothing(db, ctl):
    for known in (0, 1):
        result = ctl("--json", "enqueue", "-", stdin=json.dumps(CALL))
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["jobs"] == 1 - known
    assert db.value("SELECT count(*) FROM grading_jobs") == 1


def test_a_bad_transcript_does_not_keep_the_others_out(db, ctl):
    lines = [json.dumps(dict(CALL, id=f"call-{n}")) for n in range(3)]
    result = ctl("enqueue", "-", stdin="\n".join([lines[0], '{"id": "broken", "transcript": 7}', *lines[1:]]) + "\n")
    assert result.returncode == 1 and "2" in result.stderr
    assert db.value("SELECT count(*) FROM grading_sessions") == 3


def test_ratings_since_a_cursor_and_no_escape_sequences(pool, ctl):
    assert ctl("enqueue", "-", "--wait", stdin=json.dumps(CALL)).returncode == 0
    rows = [json.loads(line) for line in ctl("--json", "ratings", "call-17").stdout.splitlines()]
    assert [row["line_index"] for row in rows] == [0, 2]
    later = ctl("--json", "ratings", SESSION, "--since", str(rows[0]["cursor"])).stdout.splitlines()
    assert [json.loads(line)["line_index"] for line in later] == [2]
    assert "\x1b" not in ctl("ratings", "call-17").stdout


def test_ratings_for_spreadsheets_hold_no_formula(pool, db, ctl):
    texts = ['=HYPERLINK("http://x","y")', 'One, "two"\r\nand three', "\u001b[31mred", "Grüße"]
    call = dict(CALL, transcript=[{"speaker": "rep", "text": text} for text in texts])
    assert ctl("enqueue", "-", "--wait", stdin=json.dumps(call)).returncode == 0
    told = [json.loads(line) for line in ctl("--json", "ratings", "call-17").stdout.splitlines()]
    answer = subprocess.run([GRADINGCTL, "-d", db.conninfo, "ratings", "call-17", "--csv"], capture_output=True,
                            timeout=120, check=True).stdout
    assert answer.count(b"\r\n") == 1 + len(texts) and answer.count(b"\r") == 1 + len(texts)
    rows = list(csv.DictReader(io.StringIO(answer.decode(), newline="")))
    assert [row["line_text"] for row in rows] == [
        "'" + texts[0], 'One, "two"\nand three', "\ufffd[31mred", "Grüße"]
    for row, rating in zip(rows, told):
        assert row["session_id"] == SESSION and int(row["line_index"]) == rating["line_index"]
        assert row["rating"] == rating["rating"] and row["cached"] == "false" and row["rater"] == "rubric"
        assert row["alternatives"].split("\n") == rating["alternatives"] and row["reason"] == rating["reason"]
        assert int(row["cursor"]) == rating["cursor"] and row["rated_at"].endswith("Z")
    since = ctl("ratings", "call-17", "--csv", "--since", rows[-1]["cursor"])
    assert since.returncode == 0 and since.stdout.count("\n") == 1, "the names alone"


@pytest.mark.parametrize("words, status", [
    (["ratings", "call-17", "--csv", "--json"], 1), (["ratings", "call-17", "--since", "yesterday"], 1),
    (["progress", "call-17", "--csv"], 1), (["progress", "nobody"], 1), (["ratings", "nobody"], 1), (["enqueue", "/nowhere"], 1), (["no-such-word"], 1),
    (["-s", "/nowhere/control.sock", "show", "status"], 75)])
def test_what_fails_says_so_in_a_sentence(ctl, words, status):
    result = ctl(*words)
    assert result.returncode == status
    assert result.stderr.startswith("gradingctl: ")
    assert ("`gradingctl doctor` looks for what is wrong" in result.stderr) == (status == 75)


def test_failures_are_told_by_the_name_that_was_given(make_openai_pool, llm, ctl):
    make_openai_pool()
    llm.behave({"do": "refusal", "text": "poison"}, "good")
    call = {"id": "call-19", "transcript": [{"speaker": "rep", "text": "poison"}]}
    result = ctl("enqueue", "-", "--wait", stdin=json.dumps(call))
    assert result.returncode == 1 and "session call-19, batch 0: " in result.stderr


def test_progress_prints_the_uuid_of_an_id(db, ctl):
    assert ctl("enqueue", "-", stdin=json.dumps(CALL)).returncode == 0
    assert SESSION in ctl("progress", "call-17").stdout


@pytest.mark.parametrize("lines, words", [
    ([{"speaker": "agent", "text": "Hi."}, {"text": "Hm."}], ['nothing is rated', '"agent", none']),
    ([{"speaker": "rep", "txt": "Hi."}], ['nothing is rated', '"rep"']),
    ([{"speaker": "rep", "text": "Hi."}, {"speaker": "user", "txt": "Hm."}], ['have no "text": 1 of']),
    ([{"speaker": "rep", "text": "Hi."}, {"speaker": "rep", "text": ""}, {"speaker": "agent"}], None)])
def test_lines_that_nobody_will_rate_are_pointed_out(db, ctl, tmp_path, lines, words):
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(CALL) + "\n" + json.dumps({"id": "odd", "transcript": lines}), encoding="utf-8")
    result = ctl("enqueue", str(file))
    assert result.returncode == 0 and "enqueued 2 sessions" in result.stdout
    assert all(word in result.stderr for word in [f"{file}:2: ", *words]) if words else result.stderr == ""
    assert ctl("enqueue", str(file)).stderr == "", "said once"


def test_a_notice_is_told_once_although_the_batch_was_sent_twice(db, ctl):
    lines = [json.dumps({"id": "odd", "transcript": [{"speaker": "agent", "text": "Hi."}]}),
             json.dumps({"id": "nul", "transcript": [{"speaker": "rep", "text": "\0"}]})]
    result = ctl("enqueue", "-", stdin="\n".join(lines))
    assert result.returncode == 1 and result.stderr.count("nothing is rated") == 1
    assert db.value("SELECT count(*) FROM grading_sessions") == 1


def test_another_kind_of_file_is_complained_about_in_a_few_words(db, ctl):
    result = ctl("enqueue", "/dev/stdin", stdin="# a comment\n" * 50)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 3
    assert "is this another file?" in result.stderr


@contextlib.contextmanager
def ended_after(seconds, process):
    """Whoever reads what it says waits no longer than that."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def wait_and_read(words, stdin, pattern):
    """Runs gradingctl enqueue --wait until it has said this on standard error; then interrupts it."""
    said = ""
    with subprocess.Popen([GRADINGCTL, *words, "enqueue", "-", "--wait"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process, ended_after(PATIENCE_S, process):
        process.stdin.write(stdin)
        process.stdin.close()
        for line in process.stderr:
            said += line
            if pattern in line:
                break
        process.send_signal(signal.SIGINT)
    assert pattern in said, said


def test_a_wait_says_why_nothing_moves(make_pool, db, tmp_path):
    pool = make_pool(db)
    pool.pause()
    wait_and_read(["-d", db.conninfo, "-s", pool.socket], json.dumps(CALL), "paused by an operator")
    wait_and_read(["-d", db.conninfo, "-s", str(tmp_path / "none")], json.dumps(CALL), "no gradingd answers")


def test_rights_are_not_mistaken_for_missing_tables(db, bare_db):
    db.rows("DROP ROLE IF EXISTS nobody_here")
    db.rows("CREATE ROLE nobody_here LOGIN")
    try:
        who = "user=nobody_here"
        said = gradingctl("-d", db.conninfo.replace("user=postgres", who), "progress", "call-17")
        assert said.returncode == 78 and 'GRANT grading_app TO "nobody_here"' in said.stderr
        said = gradingctl("-d", db.conninfo.replace("user=postgres", who), "migrate")
        assert said.returncode == 78 and "as the owner of the tables" in said.stderr
    finally:
        db.rows("DROP ROLE nobody_here")
    said = gradingctl("-d", bare_db.conninfo, "progress", "call-17")
    assert said.returncode == 78 and "run `gradingctl migrate`" in said.stderr and "GRANT" not in said.stderr


@pytest.mark.parametrize("member, words, wanted", [
    ("grading_app", ["cache"], "gradingd_worker"), ("grading_app", ["cache", "drop", "--all"], "gradingd_worker"),
    ("gradingd_worker", ["enqueue", "-"], "grading_app")])
def test_the_role_that_has_a_right_is_named(db, member, words, wanted):
    db.rows("DROP ROLE IF EXISTS somebody_here")
    db.rows("CREATE ROLE somebody_here LOGIN")
    try:
        db.rows(f"GRANT {member} TO somebody_here")
        said = gradingctl("-d", db.conninfo.replace("user=postgres", "user=somebody_here"), *words, input=json.dumps(CALL))
        assert said.returncode == 78, said
        assert f'GRANT {wanted} TO "somebody_here"' in said.stderr and "permission denied" in said.stderr
        db.rows(f"GRANT {wanted} TO somebody_here")
        assert gradingctl("-d", db.conninfo.replace("user=postgres", "user=somebody_here"), *words,
                          input=json.dumps(CALL)).returncode == 0
    finally:
        db.rows("DROP ROLE somebody_here")


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_leaves_nothing_waiting_on_the_server(db, signo):
    """Or the lock would be given to it later, and the session cancelled although nobody wants that any more."""
    job = db.insert(session=SESSION)
    with db.connect(autocommit=False) as other:
        other.execute("SELECT FROM grading_jobs FOR UPDATE")
        # Where the tests run in the background INT is ignored, which would be inherited.
        with subprocess.Popen(["env", f"--default-signal={signo.value}", GRADINGCTL, "-d", db.conninfo, "cancel",
                               SESSION]) as process:
            db.wait_blocked()
            process.send_signal(signo)
            assert process.wait(PATIENCE_S) == -signo
        wait_until(lambda: db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gradingctl'") == 0)
    assert db.job(job).status == "pending"


def test_a_broken_configuration_is_no_dead_end(db, tmp_path):
    path = tmp_path / "gradingd.conf"
    path.write_text("pool: { workers = ")
    said = gradingctl("-c", str(path), "jobs")
    assert said.returncode == 78 and str(path) in said.stderr and "-d CONNINFO" in said.stderr
    assert gradingctl("-c", str(path), "-d", db.conninfo, "jobs").returncode == 0
    assert "-s SOCKET" in gradingctl("-c", str(path), "show", "status").stderr


def test_help_names_each_command_once(pool):
    for words in (["-s", pool.socket], ["-s", "/nowhere"]):
        lines = gradingctl(*words, "help").stdout.splitlines()
        assert [line.split()[:2] for line in lines if line.split()[:1] == ["help"]] == [["help", "this"]]
        assert any(line.startswith("  show status [json]") for line in lines)


def test_where_no_configuration_is_read_it_is_said(bare_db):
    if os.path.exists("/etc/gradingd/gradingd.conf"):
        pytest.skip("this machine has one")
    env = dict(os.environ, PGHOST=bare_db.postgres.directory, PGPORT=str(bare_db.postgres.port), PGUSER="postgres",
               PGDATABASE=bare_db.name)
    said = gradingctl("migrate", env=env)
    assert said.returncode == 0 and "there is no /etc/gradingd/gradingd.conf" in said.stderr and bare_db.name in said.stderr
    said = gradingctl("jobs", env=dict(env, PGHOST="/nowhere"))
    assert said.returncode == 75 and "name a configuration with -c" in said.stderr
    assert "directory; Is the server" in said.stderr


def test_a_table_fits_the_terminal(pool):
    """What is wider is broken between words."""
    width = 60
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    piped = gradingctl("-s", pool.socket, "show", "config").stdout
    subprocess.run([GRADINGCTL, "-s", pool.socket, "show", "config"], stdout=child, check=True, timeout=60,
                   env=dict(os.environ, TERM="xterm", NO_COLOR="1"))
    os.close(child)
    shown = ""
    with contextlib.suppress(OSError):       # how Linux says that the other end is closed
        while part := os.read(parent, 65536):
            shown += part.decode()
    os.close(parent)
    assert shown.split() == piped.split()
    assert max(map(len, piped.splitlines())) > width
    assert all(len(line) <= width or len(line.split()) == 1 for line in shown.splitlines())
