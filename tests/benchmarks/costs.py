"""What a server costs beside steps: its start, and its memory with idle sessions. And what `import interop` costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import interop
from tests.benchmarks import processes
from tests.benchmarks.usage import memory
from tests.benchmarks.variants import CARTPOLE, PROCESS

IDLE_SESSIONS = 128
IDLE_PROCESSES = 4
"""Sessions with a process each are big and all alike."""
IMPORTS = 5

SERVERS = {
    "official": (processes.official("cartpole"), IDLE_SESSIONS),
    "ours": (processes.ours(CARTPOLE), IDLE_SESSIONS),
    "ours, isolation=process": (processes.ours(CARTPOLE, *PROCESS), IDLE_PROCESSES),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one fresh server takes.

    Attributes:
        start: Seconds from the start of the process to the first observation.
        empty: MiB of a server that has one session.
        session: MiB of one more idle session.
        share: MiB of the server with its idle sessions, for each of them.
    """

    start: float
    empty: float
    session: float
    share: float

    @staticmethod
    def median(costs: Sequence[Cost]) -> Cost:
        """Each of its numbers by itself."""
        numbers = [asdict(cost) for cost in costs]
        return Cost(**{name: statistics.median(number[name] for number in numbers) for name in numbers[0]})


def costs(repeats: int) -> dict[str, list[Cost]]:
    """Measure all servers, interleaved; the k-th of each belong together."""
    results: dict[str, list[Cost]] = {title: [] for title in SERVERS}
    for command, _ in SERVERS.values():
        _measure(command, 1)  # compiles its modules
    for repeat in range(repeats):
        for title, (command, sessions) in list(SERVERS.items())[:: -1 if repeat % 2 else 1]:
            results[title].append(_measure(command, sessions))
    return results


def import_milliseconds() -> float:
    """What `import interop` adds to a Python that starts: the best of several, less the best without."""
    _python("import interop")  # compiles its modules
    times = {code: [_python(code) for _ in range(IMPORTS)] for code in ("pass", "import interop")}
    return (min(times["import interop"]) - min(times["pass"])) * 1000


def _python(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=processes.ROOT, env=processes.ENVIRON, check=True)
    return time.perf_counter() - start


def _measure(command: Sequence[str], sessions: int) -> Cost:
    with processes.server(command, ready=False) as running, ExitStack() as stack:
        processes.wait_for(running)
        _open(running.url, stack)
        start = time.perf_counter() - running.started
        time.sleep(1.0)  # what a server does after its start: a spare process, say
        empty = memory(running.process.pid)
        for _ in range(sessions):
            _open(running.url, stack)
        time.sleep(1.0)
        whole = memory(running.process.pid)
        return Cost(start, empty, (whole - empty) / sessions, whole / (sessions + 1))


def _open(url: str, stack: ExitStack) -> None:
    # The same plain client for every server.
    session = stack.enter_context(interop.connect(url, binary=False))
    session.reset(seed=0)
    session.step({"action": 0})
