"""Another connection holds a snapshot: nothing that dies can be removed. Round after round of jobs, without vacuum.

Beside it, round by round, the same in a database where nobody holds one: the tables of both grow alike, and so does what
that costs the machine.
"""
from lab import JOBS, median, spread
from report import Plot, Table


def in_rounds(lab, other, rounds, burn, burn_free):
    """[(the rate under the snapshot, the rate without)]"""
    rates = []
    lab.fresh()
    other.fresh()
    with lab.snapshot():
        for n in range(rounds):
            if n > 0:
                lab.insert()
                other.insert()
            rates.append((burn().rate, burn_free().rate))
    return rates


def our_rounds(lab, rounds, batch):
    keys = {"pool": {"claim_batch": batch}, "cache": {"ttl": "0"}}
    with lab.beside("control") as other, lab.pool(**keys) as pool, other.pool(**keys) as free:
        return in_rounds(lab, other, rounds, lambda: lab.burn(pool), lambda: other.burn(free))


def bare_rounds(lab, rounds):
    with lab.beside("control") as other:
        return in_rounds(lab, other, rounds, lab.burn_bare, other.burn_bare)


def row(name, rates):
    held, free = zip(*rates)
    few = max(len(rates) // 4, 1)
    kept = [a / b for a, b in rates]
    return [name, len(rates), spread(held), spread(free), f"{median(kept[:few], float):.2f}",
            f"{median(kept[-few:], float):.2f}", f"{median(kept[-few:], float) / median(kept[:few], float):.2f}"]


def run(lab):
    rounds = lab.pick(8, 20)
    series = {"gradingd, claims of 64": our_rounds(lab, rounds, 64),
              "gradingd, claims of 16": our_rounds(lab, rounds, 16),
              "bare loop": bare_rounds(lab, lab.pick(4, 8))}
    lab.empty()
    table = Table(f"A snapshot held open: rounds of {JOBS:,} jobs, no vacuum",
                  ["", "rounds", "jobs/s", "without a snapshot", "ratio, first rounds", "last rounds", "last / first"],
                  [row(name, rates) for name, rates in series.items()],
                  "Round by round beside a database where nobody holds a snapshot; first and last are medians of a quarter of"
                  "\nthe rounds.")
    return [table], [Plot("A snapshot held open, no vacuum", "of the rate without one", x="round", series={
        name: [(n, a / b) for n, (a, b) in enumerate(rates, 1)] for name, rates in series.items()})]
