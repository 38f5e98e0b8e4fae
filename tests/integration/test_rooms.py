"""tests/check-rooms.sh names who strays from src/ROOMS: a fault of each kind, planted in a copy."""
import pathlib
import shlex
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


class House:
    """Sources, objects and maps in a directory of their own, and the command that compiles there."""

    def __init__(self, path):
        self.path = path
        for name in ("include", "src"):
            shutil.copytree(ROOT / name, path / name)
        (path / "tests").mkdir()
        for name in ("check-rooms.sh", "check-rooms.awk"):
            shutil.copy(ROOT / "tests" / name, path / "tests")
        shutil.copytree(BUILD / "obj", path / "build" / "obj", ignore=shutil.ignore_patterns("*.d", "*.tidy*"))
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
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def check(self):
        done = run(["sh", "tests/check-rooms.sh", "build", *self.compiler], cwd=self.path)
        return done.returncode, done.stdout + done.stderr

    def write(self, name, text):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def include(self, name, header):
        """As the first line of a file: its number is 1."""
        self.write(name, f"#include {header}\n" + (self.path / name).read_text(encoding="utf-8"))

    def call(self, name, *functions):
        calls = "".join(f"extern int {f}(void); int planted_{f}(void); int planted_{f}(void) {{ return {f}(); }}\n"
                        for f in functions)
        self.compile(name, calls + "#if 0\n#endif\n", append=True)

    def compile(self, name, text, append=False):
        """The object beside the others; what is appended is compiled alone and added to the old object."""
        planted = self.path / "planted.c"
        planted.write_text(text, encoding="utf-8")
        target = self.path / "build/obj" / pathlib.Path(name).relative_to("src").with_suffix(".o")
        target.parent.mkdir(parents=True, exist_ok=True)
        new = self.path / "planted.o"
        subprocess.run([*self.compiler, "-w", "-c", "-o", new, planted], cwd=self.path, check=True, timeout=60)
        if append:
            old = self.path / "old.o"
            target.rename(old)
            subprocess.run(["ld", "-r", "-o", target, old, new], check=True, timeout=60)
        else:
            shutil.copy(new, target)

    def link(self, program, main, *changed):
        objects = [f"build/obj/{name}.o" for name in changed]
        subprocess.run(["ar", "r", "build/libgrading.a", *objects], cwd=self.path, check=True, timeout=60)
        subprocess.run([*self.compiler, "-pie", f"-Wl,-Map=build/{program}.map", "-o", f"build/{program}",
                        f"build/obj/{main}.o", "build/libgrading.a", *self.libraries],
                       cwd=self.path, check=True, timeout=120)


def plant(house):
    """All faults at once: each has files of its own, and a line of its own in what the check says."""
    house.include("src/base/fold.c", '"queue/job.h"')
    house.include("src/control/show.c", '"config/config_keys.h"')
    house.include("src/config/config_scan.c", '"config/config_value.h"')
    house.include("src/lib/uuid5.c", '"words.h"')
    house.include("src/pg/pgarray.c", "<json-c/json.h>")
    house.write("include/lib/lonely.h", "struct lonely { uint64_t alone; };\n")
    house.call("src/rubric/words.c", "http_post")
    house.call("src/scoreboard/pace.c", "curl_easy_init")
    house.call("src/process/notify.c", "xcalloc")
    house.include("src/base/clock.c", '"base/uuid.h"')
    house.call("src/base/uuid.c", "duration_parse")
    house.call("src/ctl/ctl.c", "worker_main")
    house.link("gradingctl", "ctl/gradingctl", "ctl/ctl")
    house.write("src/lib/clock.c", "")
    house.compile("src/lib/clock.c", "")
    house.write("src/attic/chest.c", "")
    house.compile("src/attic/chest.c", "")
    house.write("src/ROOMS", "\n".join([*house.table(), "room cellar base", ""]))


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the check says of the house as it is, and what it says when the faults are in it."""
    house = House(tmp_path_factory.mktemp("house"))
    _, before = house.check()
    plant(house)
    status, after = house.check()
    assert status == 1, after
    return before, after


@pytest.mark.parametrize("message", [
    pytest.param('src/base/fold.c:1 includes "queue/job.h"; by the table base may use no other room',
                 id="an include that the table does not have"),
    pytest.param('src/control/show.c:1 includes "config/config_keys.h", which is private to config',
                 id="another room's private header"),
    pytest.param('src/config/config_scan.c:1 includes "config/config_value.h", which is private to config: '
                 'it is written "config_value.h"', id="a private header written as a public one"),
    pytest.param('src/lib/uuid5.c:1 includes "words.h", and src/lib/words.h does not exist',
                 id="a public header written as a private one"),
    pytest.param("src/pg/pgarray.c:1 includes <json-c/json.h> of json-c, which the table gives to",
                 id="a library's header"),
    pytest.param("include/lib/lonely.h is used by no other room: it belongs into src/lib",
                 id="a public header that nobody uses"),
    pytest.param("src/rubric/words.c names http_post of lib/http; by the table rubric may use base config",
                 id="a function that the table does not have"),
    pytest.param("src/scoreboard/pace.c names curl_easy_init of libcurl, which the table gives to lib",
                 id="a library's function"),
    pytest.param("src/scoreboard/pace.c names curl_easy_init of libcurl, which it must never reach: "
                 "scoreboard/pace -> libcurl", id="a library in the supervisor"),
    pytest.param("src/process/notify.c names xcalloc of base/arena, which it must never reach: "
                 "process/notify -> base/arena", id="an allocation in the supervisor that ends it"),
    pytest.param("a circle of files: base/clock -> base/uuid -> base/clock\n"
                 'check-rooms:     src/base/clock.c includes "base/uuid.h"\n'
                 "check-rooms:     src/base/uuid.c names duration_parse", id="a circle of files"),
    pytest.param("include/lib/lonely.h does not compile by itself", id="a header that leans on others"),
    pytest.param("gradingctl links worker/worker (src/ctl/ctl.c names worker_main), which the table does not "
                 "give it", id="a program that links too much"),
    pytest.param("two files are called clock: base/clock and lib/clock", id="a name that is taken"),
    pytest.param("src/attic has no row in src/ROOMS", id="a room without a row"),
    pytest.param("src/ROOMS: a row names cellar, and there is no such room or file", id="a row without a room"),
])
def test_a_fault_is_named(said, message):
    before, after = said
    assert f"check-rooms: {message}" in after
    assert f"check-rooms: {message}" not in before
