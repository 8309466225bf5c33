"""`make bench-verifiers`: a v0 environment through the wire beside verifiers' own rollouts in one process, interleaved,
and a v1 environment of a single turn.

CPU is the hub's and the worker's, user and system, for each step: the rates depend on what else the machine does. There
is no official figure to compare with: the official importer's servers of v0 environments fail at reset.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import interop
from tests.benchmarks.machine import description

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/peers/verifiers-0.3.1/bin/python"
PYTHON_V1 = ROOT / ".venv/peers/verifiers-0.4.0/bin/python"
ROUNDS, SECONDS, TURNS = 5, 3.0, 10


@dataclass(frozen=True)
class Served:
    """A server in a process of its own, and its workers."""

    url: str
    hub: int
    workers: Sequence[int]

    def through_the_wire(self, sessions: int) -> tuple[float, float, float]:
        """Steps per second of so many sessions, played by one thread, and CPU of hub and worker, ms a step."""
        with ExitStack() as stack:
            players = [stack.enter_context(interop.connect(self.url, timeout=100)) for _ in range(sessions)]
            for player in players:
                player.send("reset", {"index": 0})
            for player in players:
                player.receive()
                player.send("step", {"content": "1"})
            began, steps, before = time.perf_counter(), 0, (_cpu(self.hub), self._working())
            while time.perf_counter() - began < SECONDS:
                for player in players:
                    frame = player.receive()
                    steps += frame["reward"] is not None
                    player.send(*(("reset", {"index": 0}) if frame["done"] else ("step", {"content": "1"})))
            seconds = time.perf_counter() - began
            hub, worker = _cpu(self.hub) - before[0], self._working() - before[1]
            for player in players:
                player.receive()
        return steps / seconds, 1e3 * hub / steps, 1e3 * worker / steps

    def _working(self) -> float:
        return sum(map(_cpu, self.workers))


def _cpu(pid: int) -> float:
    """Seconds that a process has computed, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(target: str, python: Path, workers: int = 1) -> Iterator[Served]:
    """Serve an environment."""
    command = [sys.executable, "-m", "interop", "serve", f"verifiers:{target}", "--python", str(python)]
    command += ["--port", "0", "--max-sessions", "600", "--workers", str(workers), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            children = subprocess.run(
                ["pgrep", "--parent", str(server.pid), "--full", "worker/main.py"], capture_output=True
            )
            yield Served(url, server.pid, [int(pid) for pid in children.stdout.split()])
        finally:
            server.terminate()


def latencies(url: str) -> tuple[float, float]:
    """Median and 99th percentile of a step of one session, ms."""
    taken: list[float] = []
    with interop.connect(url, timeout=100) as session:
        result = session.reset(index=0)
        while len(taken) < 500:
            if result.done:
                session.reset(index=0)
            began = time.perf_counter()
            result = session.step({"content": "1"})
            taken.append(1e3 * (time.perf_counter() - began))
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


def natively() -> float:
    """Steps per second of verifiers alone."""
    script = Path(__file__).parent / "verifiers_native.py"
    done = subprocess.run([PYTHON, script, str(SECONDS)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    native: list[float] = []
    names = ("64 sessions", "500 sessions", "64 sessions, 2 workers", "v1, 32 sessions")
    work: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    waits: list[tuple[float, float]] = []
    with (
        serving(f"v0_kinds?kind=guess&max_turns={TURNS}", PYTHON) as v0,
        serving(f"v0_kinds?kind=guess&max_turns={TURNS}", PYTHON, workers=2) as two,
        serving("v1_reverse", PYTHON_V1) as v1,
    ):
        for _ in range(ROUNDS):
            native.append(natively())
            work["64 sessions"].append(v0.through_the_wire(64))
            work["500 sessions"].append(v0.through_the_wire(500))
            work["64 sessions, 2 workers"].append(two.through_the_wire(64))
            work["v1, 32 sessions"].append(v1.through_the_wire(32))
            waits.append(latencies(v0.url))
    table = Table(
        "guess, 10 turns; v1: 1 turn", "steps/s", "worst .. best", "CPU ms/step: hub", "worker",
        title=", ".join(description().values()), title_justify="left",
    )  # fmt: skip
    table.add_row("verifiers alone, 64 rollouts", *_rate(native), "", "")
    for name, found in work.items():
        rates, hubs, workers = zip(*found, strict=True)
        table.add_row(name, *_rate(rates), f"{statistics.median(hubs):.2f}", f"{statistics.median(workers):.2f}")
    median, late = (statistics.median(column) for column in zip(*waits, strict=True))
    console = Console(width=110)
    console.print(table)
    console.print(f"one session: p50 {median:.2f} ms, p99 {late:.2f} ms")


def _rate(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(values):,.0f}", f"{min(values):,.0f} .. {max(values):,.0f}"


if __name__ == "__main__":
    main()
