"""gradingctl's own commands, as a person and a script use them."""
import json
import subprocess
import uuid

import pytest

from harness import GRADINGCTL

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


@pytest.mark.parametrize("words, status", [
    (["progress", "nobody"], 1), (["ratings", "nobody"], 1), (["enqueue", "/nowhere"], 1), (["no-such-word"], 1),
    (["-s", "/nowhere/control.sock", "show", "status"], 75)])
def test_what_fails_says_so_in_a_sentence(ctl, words, status):
    result = ctl(*words)
    assert result.returncode == status
    assert result.stderr.startswith("gradingctl: ")
