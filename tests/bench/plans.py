"""What a statement of the pool reads, from the plans that auto_explain writes into the server's log."""
import json
import os
import re
import statistics

OPTIONS = (" options='-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0"
           " -c auto_explain.log_analyze=on -c auto_explain.log_buffers=on -c auto_explain.log_timing=off"
           " -c auto_explain.log_format=json -c log_min_messages=log'")


class Log:
    """The server's log from now on."""

    def __init__(self, lab):
        self.path = os.path.join(lab.directory, "log")
        self.start = os.path.getsize(self.path)

    def plans(self, beginning):
        """Of the statements that begin so."""
        with open(self.path, encoding="utf-8", errors="replace") as file:
            file.seek(self.start)
            for text in re.findall(r"plan:\n(\t\{.*?^\t\})", file.read(), re.DOTALL | re.MULTILINE):
                plan = json.loads(text, strict=False)
                if plan["Query Text"].startswith(beginning):
                    yield plan["Plan"]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def buffers(plan):
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def claim_buffers(lab, n=1000):
    """Blocks that a claim reads to find 64 of its jobs, and a job in all (locked, updated, read); medians over claims."""
    log, found, total = Log(lab), [], []
    with lab.pool(options=OPTIONS, cache={"ttl": "0"}) as pool:
        lab.insert(n)
        lab.burn(pool, n)
    for plan in log.plans("WITH claimed"):
        search = [buffers(node) for node in nodes(plan) if node.get("Index Name") == "grading_jobs_turns"]
        if search and plan["Actual Rows"] > 0:
            found.append(sum(search) * 64 / plan["Actual Rows"])
            total.append(buffers(plan) / plan["Actual Rows"])
    return statistics.median(found), statistics.median(total)
