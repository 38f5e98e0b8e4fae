"""Runs the benchmarks named on the command line, or all, and writes bench.md and bench.svg into build/bench/.

Figures of one run only compare with each other: the machine, its load and its disk are in all of them.
BENCH_FULL=1 takes more rounds and larger tables.
"""
import contextlib
import os
import pathlib
import platform
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

# pylint: disable=wrong-import-position
import burndown
import burst
import calls
import fairness
import growth
import harness
import horizon
import idle
import lab
import latency
import memory
import mirror
import plot
import refused
import report
import scaling
import waiting

BENCHES = {module.__name__: module.run for module in
           (burndown, latency, burst, idle, horizon, growth, waiting, scaling, memory, calls, refused, mirror,
            fairness)}
OUT = harness.BUILD / "bench"


def machine(room):
    version = room.db.value("SELECT current_setting('server_version')").split()[0]
    return f"{os.cpu_count()} processors ({platform.machine()}), Postgres {version} with fsync, {time.strftime('%Y-%m-%d')}"


def measure(room, names):
    tables, plots = [], []
    for name in names:
        began = time.monotonic()
        found, drawn = BENCHES[name](room)
        tables += found
        plots += drawn
        print("\n".join(table.markdown() for table in found) + f"({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
    return tables, plots


@contextlib.contextmanager
def laboratory():
    """Gone again however it ends, its Postgres with it."""
    directory = tempfile.mkdtemp(prefix="gdbench-")
    os.chmod(directory, 0o755)      # Postgres runs as another user when we are root
    try:
        room = lab.Lab(directory, bool(os.environ.get("BENCH_FULL")))
        try:
            yield room
        finally:
            room.close()
    finally:
        lab.kill_server(directory)      # one that was not up yet when something went wrong
        shutil.rmtree(directory, ignore_errors=True)


def write(name, tables, plots, where):
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.md").write_text(report.page(tables, where), encoding="utf-8")
    if plots:
        (OUT / f"{name}.svg").write_text(plot.svg(plots), encoding="utf-8")
    print(f"written: {OUT}/{name}.md" + (f", {OUT}/{name}.svg" if plots else ""))


def main(names):
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"bench: no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    with laboratory() as room:
        tables, plots = measure(room, names or BENCHES)
        where = machine(room)
    write("bench", tables, plots, where)


if __name__ == "__main__":
    main(sys.argv[1:])
