"""What the programs are built with and what they run under: flags, privileges, modes, the systemd unit."""
import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess

import pytest

from conftest import short_directory
from harness import BUILD, GRADINGCTL, GRADINGD, PATIENCE_S, ROOT, rep, unprivileged, wait_until

# What systemd-analyze counts, in tenths; 0 is nothing left to take away, 96 a unit without any of it.
EXPOSURE_TENTHS = 18
# A unit may be sandboxed further, never less.
SANDBOX = {
    "User": "gradingd", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectHostname": "yes", "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "", "AmbientCapabilities": "", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "SystemCallArchitectures": "native", "SystemCallFilter": "@system-service", "LimitCORE": "0"}


# ---- the binaries ----

def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, program], text=True, capture_output=True, check=True, timeout=PATIENCE_S,
                          env=dict(os.environ, LC_ALL="C")).stdout


@pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf here")
@pytest.mark.parametrize("program", [GRADINGD, GRADINGCTL], ids=["gradingd", "gradingctl"])
class TestBinary:
    def test_its_addresses_are_not_known_beforehand(self, program):
        assert "Type:                              DYN" in readelf("-h", program)
        assert re.search(r"FLAGS_1.*\bPIE\b", readelf("-d", program))

    def test_its_linkage_is_read_only(self, program):
        assert "GNU_RELRO" in readelf("-l", program)
        assert re.search(r"FLAGS_1.*\bNOW\b|\(BIND_NOW\)", readelf("-d", program))

    def test_nothing_is_writable_and_executable(self, program):
        flags = re.findall(r"^  (\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([R ][W ][E ])", readelf("-l", program), re.M)
        assert dict(flags)["GNU_STACK"] == "RW "
        assert not [name for name, flag in flags if "W" in flag and "E" in flag]

    def test_libraries_come_from_the_system(self, program):
        assert not re.search(r"\((RPATH|RUNPATH)\)", readelf("-d", program))

    def test_its_stack_is_guarded(self, program):
        assert "__stack_chk_fail" in readelf("--dyn-syms", program)

    @pytest.mark.skipif("sanitize" in BUILD.parts, reason="sanitizers look themselves")
    def test_its_buffers_are_guarded(self, program):
        assert {"__snprintf_chk", "__vsnprintf_chk", "__memcpy_chk"} <= set(
            re.findall(r"\b(__\w+_chk)\b", readelf("--dyn-syms", program)))


# ---- privileges ----

def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def place():
    """A directory that everybody can reach."""
    directory = short_directory("gdh-")
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_started_by_root_nothing_of_root_is_left_in_any_process(make_pool, db, place):
    """The program that rates, which a child's child starts at once, says as whom it was started."""
    user = pwd.getpwnam(unprivileged()[0])
    os.chown(place, user.pw_uid, user.pw_gid)
    program = place / "rate"
    program.write_text(f"#!/bin/sh\ngrep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status >{place}/born.$$\n"
                       "exec sleep 1000\n")
    program.chmod(0o755)
    pool = make_pool(db, start=False, pool={"user": user.pw_name, "workers": 2}, rater={"backend": "command"},
                     command={"argv": [str(program)]})
    os.chown(pool.directory, user.pw_uid, user.pw_gid)
    pool.start()
    born = wait_until(lambda: len(list(place.glob("born.*"))) == 2 and list(place.glob("born.*")))
    for text in [file.read_text(encoding="utf-8") for file in born]:
        assert text.splitlines()[0].split() == ["Uid:"] + [str(user.pw_uid)] * 4
    processes = pool.processes()
    assert len(processes) >= 1 + 1 + 2 + 2      # supervisor, janitor, workers, keepers
    for pid in processes:
        status = status_of(pid)
        assert status["Uid"] == [str(user.pw_uid)] * 4 and status["Gid"] == [str(user.pw_gid)] * 4
        assert "0" not in status["Groups"]
        assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == 0


def test_a_user_that_is_not_there_is_refused(make_pool, db):
    pool = make_pool(db, start=False, pool={"user": "no-such-user"})
    if os.geteuid() == 0:
        assert pool.run().returncode == 78 and pool.processes() == []


def test_what_the_pool_makes_is_not_for_others_to_write(make_pool, db):
    pool = make_pool(db, start=False)
    pool.socket = str(pool.directory / "run" / "c.sock")
    pool.configure(control={"socket": pool.socket}, log={"to": str(pool.directory / "gradingd.log")})
    before = os.umask(0)
    try:
        pool.start()
    finally:
        os.umask(before)
    run = pathlib.Path(pool.socket).parent
    assert stat.S_IMODE(run.stat().st_mode) == 0o755
    assert stat.S_IMODE(os.stat(pool.socket).st_mode) == 0o600
    for path in (*run.iterdir(), pool.directory / "gradingd.log"):
        assert not path.stat().st_mode & 0o022, path
    db.completed(rep("Hello."))


# ---- the unit ----

def unit():
    """Its settings; of one that is given twice the first."""
    settings = {}
    for line in (ROOT / "init/gradingd.service").read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, value)
    return settings


def test_the_unit_is_sandboxed():
    settings = unit()
    assert {name: settings.get(name) for name in SANDBOX} == SANDBOX


def test_systemd_finds_little_left_to_take_away():
    tool = shutil.which("systemd-analyze")
    done = tool and subprocess.run([tool, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS}",
                                    ROOT / "init/gradingd.service"], text=True, capture_output=True, check=False,
                                   timeout=PATIENCE_S)
    if not tool or "offline" in done.stderr:
        pytest.skip("no systemd-analyze that looks at files")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
