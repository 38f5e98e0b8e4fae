"""Another connection holds a snapshot: nothing that dies can be removed. Round after round of jobs, without vacuum."""
from lab import JOBS, spread
from report import Plot, Table


def our_rounds(lab, rounds, batch):
    with lab.pool(pool={"claim_batch": batch}, cache={"ttl": "0"}) as pool:
        lab.fresh()
        with lab.snapshot():
            rates = [lab.burn(pool).rate]
            for _ in range(1, rounds):
                lab.insert()
                rates.append(lab.burn(pool).rate)
    return rates


def bare_rounds(lab, rounds):
    lab.fresh()
    with lab.snapshot():
        rates = [lab.burn_bare().rate]
        for _ in range(1, rounds):
            lab.insert()
            rates.append(lab.burn_bare().rate)
    return rates


def run(lab):
    rounds = lab.pick(5, 20)
    series = {"gradingd, claims of 64": our_rounds(lab, rounds, 64),
              "gradingd, claims of 16": our_rounds(lab, rounds, 16),
              "bare loop": bare_rounds(lab, lab.pick(3, 5))}
    table = Table(f"A snapshot held open: rounds of {JOBS:,} jobs, no vacuum",
                  ["", "jobs/s", "first", "last", "last / first"],
                  [[name, spread(rates), f"{rates[0]:,.0f}", f"{rates[-1]:,.0f}", f"{rates[-1] / rates[0]:.2f}"]
                   for name, rates in series.items()])
    return [table], [Plot("A snapshot held open, no vacuum", "jobs/s", x="round", series={
        name: list(enumerate(rates, 1)) for name, rates in series.items()})]
