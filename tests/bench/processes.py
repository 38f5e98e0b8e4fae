"""What processes cost: CPU time and memory, read from /proc."""
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def read(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_text(encoding="latin-1")


def fields(pid):
    """Of stat, from the state on."""
    return read(pid, "stat").rpartition(")")[2].split()


def family(pid):
    """A process and its children."""
    return [pid, *map(int, read(pid, f"task/{pid}/children").split())]


def cpu_seconds(pid):
    """Of a process and its children, those that have ended included."""
    total = sum(map(int, fields(pid)[13:15])) / TICKS
    for member in family(pid):
        try:
            total += int(read(member, "schedstat").split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            pass    # it ended just now; its parent has it
    return total


def all_threads_cpu_seconds(pid):
    """Of a process with all its threads, and of its children that have ended: in ticks."""
    return sum(map(int, fields(pid)[11:15])) / TICKS


def memory(pid, file, key):
    """A line of smaps_rollup or status, in MiB."""
    for line in read(pid, file).splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def pss(pid):
    return memory(pid, "smaps_rollup", "Pss")


def rss(pid):
    return memory(pid, "status", "VmRSS")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def peak_rss(pid):
    return memory(pid, "status", "VmHWM")
