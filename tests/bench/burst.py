"""1,000 single inserts from 20 connections while the pool is busy: does the trigger slow them down?"""
import re
import statistics
import subprocess

import harness
from lab import spread
from report import Table

INSERT = """INSERT INTO grading_jobs (session_id, job_type, job_data) VALUES (gen_random_uuid(), 'line_rating',
'{"transcript": [{"speaker": "rep", "text": "What matters most to you here?", "index": 0}], "batchIndex": 0}');
"""


def inserts_a_second(lab, script):
    told = subprocess.run([harness.postgres_tool("pgbench"), "-n", "-c", "20", "-j", "2", "-t", "50", "-f", script,
                           lab.db.conninfo], check=True, text=True, capture_output=True).stdout
    return float(re.search(r"tps = ([\d.]+) \(without", told)[1])


def busy(lab, pool, script):
    lab.fresh()
    before = pool.metric("jobs_completed_total")
    pool.ctl("resume")
    harness.wait_until(lambda: pool.metric("jobs_completed_total") > before)
    rate = inserts_a_second(lab, script)
    still = lab.db.value("SELECT EXISTS (SELECT FROM grading_jobs WHERE status = 'pending')")
    harness.wait_until(lambda: not lab.db.value("SELECT count(*) FROM grading_jobs WHERE status <> 'completed'"), 300)
    pool.ctl("pause")
    return rate, still


def run(lab):
    script = f"{lab.directory}/insert.sql"
    with open(script, "w", encoding="ascii") as file:
        file.write(INSERT)
    rates, ran_dry = {"ENABLE": [], "DISABLE": []}, 0
    with lab.pool(cache={"ttl": "0"}) as pool:
        for _ in range(lab.pick(5, 11)):
            for mode, of in rates.items():
                lab.db.rows(f"ALTER TABLE grading_jobs {mode} TRIGGER grading_jobs_wake")
                rate, still = busy(lab, pool, script)
                of.append(rate)
                ran_dry += not still
    lab.db.rows("ALTER TABLE grading_jobs ENABLE TRIGGER grading_jobs_wake")
    ratio = statistics.median(a / b for a, b in zip(*rates.values()))
    note = f"In {ran_dry} of {2 * len(rates['ENABLE'])} bursts the pool had run dry before the last insert." if ran_dry else ""
    return [Table("1,000 single inserts from 20 connections while the pool is busy", ["", "inserts/s", "ratio"],
                  [["with the trigger", spread(rates["ENABLE"]), f"{ratio:.2f}"],
                   ["without", spread(rates["DISABLE"]), ""]], note)], []
