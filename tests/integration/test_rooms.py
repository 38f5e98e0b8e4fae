"""tests/check-rooms.sh names who strays from src/ROOMS: a fault of each kind, planted in a copy."""
import pathlib
import shlex
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT


class House:
    """Sources, objects and maps in a directory of their own, and what compiles there."""

    def __init__(self, path):
        self.path = path
        for name in ("include", "src"):
            shutil.copytree(ROOT / name, path / name)
        (path / "tests").mkdir()
        for name in ("check-rooms.sh", "check-rooms.awk", "read-includes.awk"):
            shutil.copy(ROOT / "tests" / name, path / "tests")
        shutil.copytree(BUILD / "obj", path / "build/obj",
                        ignore=shutil.ignore_patterns("*.d", "*.tidy*"))
        for file in (*BUILD.glob("*.o"), *BUILD.glob("*.map"), BUILD / "libgrading.a"):
            shutil.copy(file, path / "build")
        flags = shlex.split((BUILD / "flags").read_text(encoding="utf-8"))
        packages = [row.split()[1] for row in self.table() if row.startswith("library")]
        self.compiler = [word for word in flags if word not in ("-MMD", "-MP", "-Werror")]
        self.compiler += self.output("pkg-config", "--cflags", *packages)
        self.libraries = self.output("pkg-config", "--libs", *packages)

    def table(self):
        return (self.path / "src/ROOMS").read_text(encoding="utf-8").splitlines()

    @staticmethod
    def output(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()

    def run(self, *command):
        subprocess.run(command, cwd=self.path, check=True, timeout=120)

    def check(self):
        done = subprocess.run(["sh", "tests/check-rooms.sh", "build", *self.compiler],
                              cwd=self.path, capture_output=True, text=True, check=False,
                              timeout=120)
        return done.returncode, done.stdout + done.stderr

    def write(self, name, text):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def include(self, name, header):
        """As the first line of a file: its number is 1."""
        text = (self.path / name).read_text(encoding="utf-8")
        self.write(name, f"#include {header}\n{text}")

    def call(self, name, function):
        """In the object alone: what is compiled here is added to it."""
        new = self.compile(f"int {function}(void); int planted(void) {{ return {function}(); }}\n")
        target = self.object_of(name)
        old = target.rename(self.path / "old.o")
        self.run("objcopy", "--redefine-sym", f"planted=planted_{function}", new)
        self.run("ld", "-r", "-o", target, old, new)

    def add(self, name, text=""):
        """A source and its object."""
        self.write(name, text)
        target = self.object_of(name)
        target.parent.mkdir(exist_ok=True)
        self.compile(text).rename(target)

    def object_of(self, name):
        return self.path / "build/obj" / pathlib.Path(name).relative_to("src").with_suffix(".o")

    def compile(self, text):
        self.write("planted.c", text)
        self.run(*self.compiler, "-w", "-c", "-o", "planted.o", "planted.c")
        return self.path / "planted.o"

    def link(self, program, main, changed):
        self.run("ar", "r", "build/libgrading.a", self.object_of(changed))
        self.run(*self.compiler, "-pie", f"-Wl,-Map=build/{program}.map", "-o", f"build/{program}",
                 self.object_of(main), "build/libgrading.a", *self.libraries)


# Every form in which a compiler takes an include, and no tool that reads lines.
ODD_INCLUDES = """\
#define Q "queue/job.h"
#include Q
#include/**/"queue/job.h"
/* */ #include "queue/job.h"
#include \\
"queue/job.h"
# include "queue/job.h"
#/*
*/include "queue/job.h"
#inc\\
lude "queue/job.h"
%:include "queue/job.h"
#include "queue/job.h" // why
#include_next <queue/job.h>
"""
NAMED = {2: "#include Q", 3: '#include/**/"queue/job.h"', 4: '/* */ #include "queue/job.h"',
         5: "#include \\", 7: '# include "queue/job.h"', 8: "#/*", 10: "#inc\\",
         12: '%:include "queue/job.h"', 13: '#include "queue/job.h" // why',
         14: "#include_next <queue/job.h>"}


def plant(house):
    """All faults at once: each in a file of its own, so that none hides another."""
    house.include("src/base/fold.c", '"queue/job.h"')
    house.include("src/control/show.c", '"config/config_keys.h"')
    house.include("src/config/config_scan.c", '"config/config_value.h"')
    house.include("src/lib/uuid5.c", '"words.h"')
    house.include("src/pg/pgarray.c", "<json-c/json.h>")
    house.include("src/base/log.c", "<queue/job.h>")
    house.include("src/control/grammar.c", "<../src/worker/claimer.h>")
    house.include("src/pg/pg.c", '"../src/worker/claimer.h"')
    house.add("src/base/odd.c")
    house.write("src/base/odd.c", ODD_INCLUDES)
    house.write("include/lib/lonely.h", "struct lonely { uint64_t alone; };\n")
    house.call("src/rubric/words.c", "http_post")
    house.call("src/scoreboard/pace.c", "curl_easy_init")
    house.call("src/process/notify.c", "xcalloc")
    house.include("src/base/clock.c", '"base/uuid.h"')
    house.call("src/base/uuid.c", "duration_parse")
    house.call("src/ctl/ctl.c", "worker_main")
    house.link("gradingctl", "src/ctl/gradingctl.c", "src/ctl/ctl.c")
    house.add("src/lib/clock.c")
    house.add("src/base/zzz.c", "void job_parse(void) { }\n")
    house.add("src/attic/chest.c")
    house.write("src/lost.c", '#include "queue/job.h"\n')
    table = "\n".join([*house.table(), "room cellar base", ""])
    table = table.replace("room pg ", "room pg worker ").replace("room config ", "room config lib ")
    house.write("src/ROOMS", table)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the check says of the house as it is, and what it says when the faults are in it."""
    house = House(tmp_path_factory.mktemp("house"))
    _, before = house.check()
    plant(house)
    status, after = house.check()
    assert status == 1, after
    return before, after


FAULTS = {
    "an include that the table does not have":
        'src/base/fold.c:1 includes "queue/job.h"; by the table base may use no other room',
    "another room's private header":
        'src/control/show.c:1 includes "config/config_keys.h", which is private to config',
    "a private header written as a public one":
        'src/config/config_scan.c:1 includes "config/config_value.h", which is private to config: '
        'it is written "config_value.h"',
    "a public header written as a private one":
        'src/lib/uuid5.c:1 includes "words.h", and src/lib/words.h does not exist',
    "a library's header":
        "src/pg/pgarray.c:1 includes <json-c/json.h> of json-c, which the table gives to lib",
    "our header as a library's":
        'src/base/log.c:1 includes <queue/job.h>, which is ours: it is written "queue/job.h"',
    "a header by a way round the rooms":
        "src/control/grammar.c:1 includes ../src/worker/claimer.h: "
        "no name of a header has . or .. in it, or begins with /",
    "our header by a way round the rooms":
        "src/pg/pg.c:1 includes ../src/worker/claimer.h: "
        "no name of a header has . or .. in it, or begins with /",
    **{f"an include in a form of its own, line {line}":
       f'src/base/odd.c:{line} has {text}: an include is #include "NAME" or #include <NAME>'
       for line, text in NAMED.items()},
    "a function with two homes":
        "job_parse has two homes: base/zzz and queue/job",
    "a file in no room":
        "src/lost.c lies in no room: it belongs into a directory with a row in src/ROOMS",
    "a public header that nobody uses":
        "include/lib/lonely.h is used by no other room: it belongs into src/lib",
    "a function that the table does not have":
        "src/rubric/words.c names http_post of lib/http; by the table rubric may use base config",
    "a library's function":
        "src/scoreboard/pace.c names curl_easy_init of libcurl, which the table gives to lib",
    "a library in the supervisor":
        "src/scoreboard/pace.c names curl_easy_init of libcurl, which it must never reach: "
        "scoreboard/pace -> libcurl",
    "an allocation in the supervisor that ends it":
        "src/process/notify.c names xcalloc of base/arena, which it must never reach: "
        "process/notify -> base/arena",
    "a circle of files":
        "a circle of files: base/clock -> base/uuid -> base/clock\n"
        'check-rooms:     src/base/clock.c includes "base/uuid.h"\n'
        "check-rooms:     src/base/uuid.c names duration_parse",
    "a header that leans on others":
        "include/lib/lonely.h does not compile by itself",
    "a program that links too much":
        "gradingctl links worker/worker (src/ctl/ctl.c names worker_main), "
        "which the table does not give it",
    "a name that is taken":
        "two files are called clock: base/clock and lib/clock",
    "a room without a row":
        "src/attic has no row in src/ROOMS",
    "a row without a room":
        "src/ROOMS: a row names cellar, and there is no such room or file",
    "an arrow that nobody needs":
        "src/ROOMS: the row of config lists lib, which it does not need",
    "an arrow upwards":
        "src/ROOMS: the row of pg uses worker, which stands below it",
}


@pytest.mark.parametrize("message", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(said, message):
    before, after = said
    assert f"check-rooms: {message}" in after
    assert f"check-rooms: {message}" not in before


def test_a_file_in_no_room_is_named_once(said):
    assert [row for row in said[1].splitlines() if "src/lost.c" in row] == [
        f"check-rooms: {FAULTS['a file in no room']}"]
