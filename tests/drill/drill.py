#!/usr/bin/python3
"""A pool works through real text while one fault after the other is injected; then everything is compared.

usage: drill.py [--short] [--jobs N] [ROW...]    ROW: a part of a row's name; none: all of them

Prints a table, one row a fault, and what the auditor finds. Exit status 0: nothing was lost, doubled or invented.
"""
import argparse
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("integration", "bench"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.path.insert(0, str(HERE))

# pylint: disable=wrong-import-position
import auditor
import faults
import lab

HEAD = ("| fault | before | during | after | normal after | attempts | |\n"
        "|---|---:|---:|---:|---:|---:|---|")


def run_row(lab_, name):
    """One row of the table; raises what went wrong."""
    measure_s = lab_.measure_s
    steps = faults.ROWS[name](lab_)
    spent_before = lab_.tally()[0]
    share = next(steps) or 1
    prepared = lab_.now() - (lab.WINDOW_S if lab_.short else 0)
    lab_.wait_normal(prepared, 20)          # at work at all
    if not lab_.short:
        time.sleep(max(prepared + lab.WINDOW_S + measure_s - lab_.now(), 0))
    broken = lab_.now()
    before = lab_.rate(broken - measure_s, broken)
    remark = next(steps)
    mended = lab_.now()
    took = lab_.wait_normal(mended, (lab.NORMAL_SHORT if lab_.short else lab.NORMAL) * share * before)
    normal = lab_.now()
    if not lab_.short:
        time.sleep(max(mended + took + measure_s - normal, 0))
    during = lab_.rate(broken, mended)
    after = lab_.rate(mended + took, lab_.now())
    next(steps, None)
    spent = lab_.tally()[0] - spent_before
    return f"| {name} | {before:.0f} | {during:.0f} | {after:.0f} | {took:.1f} s | {spent} | {remark} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute or two")
    parser.add_argument("--jobs", type=int, help="at least so many (20000; 2000 when short)")
    parser.add_argument("row", nargs="*")
    options = parser.parse_args()
    names = [name for name in faults.ROWS if any(part in name for part in options.row)] if options.row else [
        name for name in faults.ROWS if not (options.short and name in faults.LONG)]
    if not names:
        sys.exit(f"drill: no row holds {', '.join(options.row)}; there are: {'; '.join(faults.ROWS)}")
    jobs = options.jobs or (2000 if options.short else 20000)
    began, troubles = time.monotonic(), []
    lab_ = lab.Lab(options.short)
    try:
        lab_.warm_up()
        print("Jobs per second before, during and after a fault; seconds until it was as before.\n")
        print(HEAD, flush=True)
        for name in names:
            try:
                print(run_row(lab_, name), flush=True)
            except (AssertionError, OSError) as trouble:
                print(f"| {name} | | | | | | **{str(trouble).splitlines()[0]}** |", flush=True)
                troubles.append(f"{name}: {trouble}")
                break
        lab_.feeder.stop(0 if troubles else jobs)
        lab_.drain()
        findings = auditor.audit(lab_.db, lab_.may_fail)
        lines = lab_.db.value("SELECT count(*) FROM drill_lines")
        print(f"\n{lab_.feeder.inserted} jobs, {lines} lines, {time.monotonic() - began:.0f} s.", end=" ")
        print("Nothing is lost, double or invented." if not findings else "The auditor found:")
        for name, n, example in findings:
            print(f"- {name}: {n}, for example {example}")
        for pool in lab_.pools:
            if pool.process.poll() is None:
                pool.stop()
            pool.check_log()
    finally:
        log = lab_.pool.log if lab_.pool else ""
        lab_.close()
        if troubles or sys.exc_info()[0]:
            print(*troubles, "---- the end of the pool's log", *log.splitlines()[-40:], sep="\n", file=sys.stderr)
    return 1 if troubles or findings else 0


if __name__ == "__main__":
    sys.exit(main())
