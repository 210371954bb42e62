"""Memory and open files of processes, as Linux counts them."""

import os
import subprocess
from pathlib import Path


def children(pid: int) -> list[int]:
    """Processes that a process has started, and theirs."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [one for child in map(int, found.split()) for one in (child, *children(child))]


def megabytes(pid: int, *names: str) -> float:
    """Sum of some lines of smaps_rollup, by default of Pss: shared pages count in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sum(sizes[name] for name in names or ("Pss",)) / 1024


def own_megabytes(pid: int) -> float:
    """Memory that goes when the process goes."""
    return megabytes(pid, "Private_Clean", "Private_Dirty")


def measure(pid: int) -> tuple[float, int]:
    """Megabytes and open files of a process and all that it has started.

    Pages of libraries are left out: their share of a process grows as other programs end.
    """
    total, count = 0.0, 0
    for one in (pid, *children(pid)):
        try:
            total += megabytes(one, "Pss_Anon", "Pss_Shmem")
            count += len(os.listdir(f"/proc/{one}/fd"))
        except (FileNotFoundError, ProcessLookupError):  # pgrep itself, or one that just ended
            continue
    return total, count
