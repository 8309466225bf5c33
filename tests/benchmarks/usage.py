"""What a process and its descendants use, from /proc; zeros where there is none."""

from __future__ import annotations

import os
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    # Each thread has the children that it started.
    started = [_read(task).split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(found for children in started for child in children for found in tree(int(child)))]


def memory(pid: int) -> float:
    """MiB of a process and its descendants, pages that several share counted once."""
    return sum(_memory(member) for member in tree(pid))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants so far, in user code and in the kernel."""
    return sum(_cpu_seconds(member) for member in tree(pid))


def _memory(pid: int) -> float:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


def _cpu_seconds(pid: int) -> float:
    # The name, in parentheses, may hold spaces; behind it utime and stime are the 12th and the 13th field, and the next
    # two are those of children that have ended.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""
