#!/usr/bin/python3
"""A scripted program for rater.backend = "command": it answers well, badly, late or not at all.

usage: rating_program.py DIRECTORY [WORDS...]

DIRECTORY/behave says what to do, a rule a line, read again at each request: DO [TEXT]. The first rule
whose TEXT occurs in the request counts; without one the answer is good. What was asked goes to
DIRECTORY/asked, what the process found itself in to DIRECTORY/self.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zlib

directory = pathlib.Path(sys.argv[1])


def rules():
    try:
        return [line.split(" ", 1) for line in (directory / "behave").read_text().splitlines() if line]
    except FileNotFoundError:
        return []


def rule_for(request):
    return next((rule[0] for rule in rules() if len(rule) == 1 or rule[1] in request), "good")


def at_start(name):
    return any(rule[0] == name for rule in rules())


def good(request):
    question = json.loads(request)
    scale = question["scale"]
    if question.get("task") == "session":
        return json.dumps({"score": 10 * len(question["conversation"]), "summary": "Scripted.",
                           "strengths": [], "improvements": ["Scripted."]})
    return json.dumps({"ratings": [
        {"line": line["line"], "rating": scale[zlib.crc32(line["text"].encode()) % len(scale)],
         "alternatives": [f"By {os.getpid()}."], "reason": "Scripted."} for line in question["lines"]]})


def say(text, end="\n"):
    sys.stdout.write(text + end)
    sys.stdout.flush()


def endless():
    """As far as anybody is concerned who has a cap."""
    for _ in range(1 << 14):
        sys.stdout.write("x" * 65536)


def flood():
    for n in range(20000):
        sys.stderr.write(f"complaint {n} \x1b[31m\x07 of many\n")
    sys.stderr.write("y" * 100000 + "\n")
    sys.stderr.flush()


def child(*before):
    """A child that would live on, holding none of our pipes, or all of them."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
    pipes = {} if at_start("grandchild_with_pipes") else dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen([*before, sys.executable, "-IS", "-c", program, str(directory)], **pipes)


def tell_about_self():
    status = dict(line.split(":\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    (directory / "self").write_text(json.dumps({
        "environ": dict(os.environ), "cwd": os.getcwd(), "fds": sorted(map(int, fds)), "argv": sys.argv,
        "group": os.getpgrp() == os.getpid(), "session": os.getsid(0) == os.getpid(),
        "blocked": int(status["SigBlk"], 16), "no_new_privs": status["NoNewPrivs"], "pid": os.getpid()}))


def kill_self(signo):
    os.kill(os.getpid(), signo)
    time.sleep(10)


def wait_released():
    """Until the test lets it go on, or its patience must be over."""
    for _ in range(6000):
        if (directory / "released").exists():
            return
        time.sleep(0.01)


ANSWERS = {
    "good": lambda request: say(good(request)),
    "slow": lambda request: (time.sleep(0.3), say(good(request))),
    "late": lambda request: (time.sleep(0.7), say(good(request))),
    "too_late": lambda request: (time.sleep(3), say(good(request))),
    "hang": lambda request: time.sleep(1000),
    "held": lambda request: (wait_released(), say(good(request))),
    "crash": lambda request: kill_self(signal.SIGUSR2),
    "exit": lambda request: sys.exit(3),
    "cut": lambda request: (say(good(request)[:20], ""), sys.exit(0)),
    "not_json": lambda request: say("Certainly! It is excellent."),
    "wrong_schema": lambda request: say('{"grades": []}'),
    "empty": lambda request: say(""),
    "unknown_rating": lambda request: say(good(request).replace('"rating": "', '"rating": "very ')),
    "nul": lambda request: say("\0" + good(request)),
    "endless": lambda request: endless(),
    "huge": lambda request: say('{"ratings": "' + "x" * (10 << 20) + '"}'),
    "flood": lambda request: (flood(), say(good(request))),
    "twice": lambda request: say(good(request) + "\n" + good(request)),
    "stray": lambda request: say(good(request.replace('"line": 0', '"line": 77'))),
    "one_shot": lambda request: (say(good(request)), sys.exit(0)),
    "closes_output": lambda request: (os.close(1), time.sleep(1000)),
}


def main():
    if at_start("exit_at_once"):
        sys.exit(9)
    if at_start("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if at_start("grandchild") or at_start("grandchild_with_pipes"):
        child()
        child("/usr/bin/setsid")        # out of the group
    if at_start("banner"):
        say("Ready.")
    tell_about_self()
    (directory / "ready").touch()
    for request in sys.stdin:
        with open(directory / "asked", "a", encoding="utf-8") as asked:
            asked.write(request)
        ANSWERS.get(rule_for(request), ANSWERS["good"])(request)
    if at_start("ignore_term"):
        time.sleep(1000)


main()
