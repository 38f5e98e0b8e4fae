"""Runs the benchmarks named on the command line, or all, and writes bench.md and bench.svg into build/bench/.

Figures of one run only compare with each other: the machine, its load and its disk are in all of them.
BENCH_FULL=1 takes more rounds and larger tables.
"""
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
import growth
import harness
import horizon
import idle
import lab
import latency
import memory
import plot
import report
import scaling
import waiting

BENCHES = {module.__name__: module.run for module in
           (burndown, latency, burst, idle, horizon, growth, waiting, scaling, memory)}
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


def main(names):
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"bench: no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    directory = tempfile.mkdtemp(prefix="gdbench-")
    os.chmod(directory, 0o755)      # Postgres runs as another user when we are root
    try:
        room = lab.Lab(directory, bool(os.environ.get("BENCH_FULL")))
        try:
            tables, plots = measure(room, names or BENCHES)
            page = report.page(tables, machine(room))
        finally:
            room.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "bench.md").write_text(page, encoding="utf-8")
    if plots:
        (OUT / "bench.svg").write_text(plot.svg(plots), encoding="utf-8")
    print(f"written: {OUT}/bench.md" + (f", {OUT}/bench.svg" if plots else ""))


if __name__ == "__main__":
    main(sys.argv[1:])
