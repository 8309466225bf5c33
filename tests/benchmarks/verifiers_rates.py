"""`make bench-verifiers`: a v0 environment through the wire beside verifiers' own rollouts in one process, interleaved.

There is no official figure to compare with: the official importer's servers of v0 environments fail at reset.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

import interop
from tests.benchmarks.machine import description

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/peers/verifiers-0.3.1/bin/python"
ROUNDS, SECONDS, TURNS = 5, 3.0, 10


def through_the_wire(url: str, sessions: int) -> float:
    """Steps per second of so many sessions, played by one thread."""
    with ExitStack() as stack:
        players = [stack.enter_context(interop.connect(url, timeout=100)) for _ in range(sessions)]
        for player in players:
            player.send("reset", {"index": 0})
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            for player in players:
                frame = player.receive()
                steps += frame["reward"] is not None
                player.send(*(("reset", {"index": 0}) if frame["done"] else ("step", {"content": "1"})))
        seconds = time.perf_counter() - began
        for player in players:
            player.receive()
    return steps / seconds


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
    rates: dict[str, list[float]] = {"verifiers alone, 64 rollouts": [], "64 sessions": [], "500 sessions": []}
    waits: list[tuple[float, float]] = []
    command = [sys.executable, "-m", "interop", "serve", f"verifiers:v0_kinds?kind=guess&max_turns={TURNS}"]
    command += ["--python", str(PYTHON), "--port", "0", "--max-sessions", "600", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            for _ in range(ROUNDS):
                rates["verifiers alone, 64 rollouts"].append(natively())
                rates["64 sessions"].append(through_the_wire(url, 64))
                rates["500 sessions"].append(through_the_wire(url, 500))
                waits.append(latencies(url))
        finally:
            server.terminate()
    table = Table(
        "guess, 10 turns", "steps/s", "worst .. best", title=", ".join(description().values()), title_justify="left"
    )
    for name, values in rates.items():
        table.add_row(name, f"{statistics.median(values):,.0f}", f"{min(values):,.0f} .. {max(values):,.0f}")
    median, late = (statistics.median(column) for column in zip(*waits, strict=True))
    console = Console(width=110)
    console.print(table)
    console.print(f"one session: p50 {median:.2f} ms, p99 {late:.2f} ms")


if __name__ == "__main__":
    main()
