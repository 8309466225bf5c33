"""What a server costs beside steps: its memory with idle sessions, and its start."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import interop
from tests.benchmarks import processes
from tests.benchmarks.variants import CARTPOLE

IDLE_SESSIONS = 32
IDLE_PROCESSES = 4
"""Sessions with a process each are big and all alike."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of several fresh servers.

    Attributes:
        title: The server.
        start: Seconds from the start of the process to the first observation.
        empty: MiB of a server that has had one session.
        session: MiB of one more idle session; None where this system does not say.
    """

    title: str
    start: float
    empty: float | None
    session: float | None


def costs(repeats: int) -> Iterator[Cost]:
    """Measure all servers, interleaved."""
    ours = processes.command_line(CARTPOLE)
    how = "interop.serve()" if ours is None else "interop serve"
    kinds = {
        "official": (processes.official("cartpole"), IDLE_SESSIONS),
        f"ours ({how})": (ours or processes.ours(CARTPOLE), IDLE_SESSIONS),
        "ours (isolation=process)": (processes.ours(CARTPOLE, "process"), IDLE_PROCESSES),
    }
    results: dict[str, list[tuple[float, float, float]]] = {title: [] for title in kinds}
    for command, _ in kinds.values():
        _measure(command, 0)  # compiles its modules
    for repeat in range(repeats):
        for title, (command, sessions) in list(kinds.items())[:: -1 if repeat % 2 else 1]:
            results[title].append(_measure(command, sessions))
    for title, measured in results.items():
        start, empty, session = (statistics.median(values) for values in zip(*measured, strict=True))
        yield Cost(title, start, empty if empty else None, session if empty else None)


def _measure(command: Sequence[str], sessions: int) -> tuple[float, float, float]:
    with processes.server(command, ready=False) as running, ExitStack() as stack:
        processes.wait_for(running)
        _open(running.url, stack)
        start = time.perf_counter() - running.started
        time.sleep(1.0)  # what a server does after its start: a spare process, say
        empty = _memory(running.process.pid)
        for _ in range(sessions):
            _open(running.url, stack)
        time.sleep(1.0)
        return start, empty, (_memory(running.process.pid) - empty) / max(1, sessions)


def _open(url: str, stack: ExitStack) -> None:
    # The same plain client for every server.
    session = stack.enter_context(interop.connect(url, binary=False))
    session.reset(seed=0)
    session.step({"action": 0})


def _memory(pid: int) -> float:
    """MiB of a process and its descendants, pages that several share counted once; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        # Each thread has the children that it started.
        children = [
            child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:
        return 0.0
    own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return own + sum(_memory(int(child)) for child in children)
