"""`make bench-harbor`: a task of harbor through the wire, in each sandbox, beside harbor's own Docker trial.

One round after the other, each with every row. Needs Docker and an image python:3.13-slim.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

import interop
from tests.benchmarks.machine import description

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/peers/harbor-0.26.0/bin/python"
TASK = ROOT / "tests/harbor_tasks/hello"
ROUNDS, COMMANDS, SESSIONS = 7, 20, 32
SOLUTION = (TASK / "solution/solve.sh").read_text()


@contextmanager
def serve(sandbox: str) -> Iterator[str]:
    """The address of a server of the task."""
    command = [str(PYTHON), "-m", "interop", "serve", f"harbor:{TASK}", "--sandbox", sandbox, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


def episode(url: str, commands: int = COMMANDS) -> dict[str, float]:
    """Seconds of each part of an episode that is solved, and of all."""
    with interop.connect(url, timeout=300) as session:
        clock = [time.perf_counter()]
        session.reset()
        clock.append(time.perf_counter())
        for _ in range(commands):
            session.step({"type": "exec", "command": "true"})
        clock.append(time.perf_counter())
        session.step({"type": "exec", "command": SOLUTION})
        clock.append(time.perf_counter())
        last = session.step({"type": "submit"})
        clock.append(time.perf_counter())
        assert last.reward == 1.0, last.observation
    reset, execs, solution, submit = (after - before for before, after in pairwise(clock))
    whole = reset + solution + submit
    return {"reset": reset, "exec": execs / commands, "submit": submit, "episode": whole}


def natively(environment: str) -> float:
    """Seconds of a trial of harbor's oracle, without the start of Python and harbor."""
    script = Path(__file__).parent / "harbor_native.py"
    done = subprocess.run([PYTHON, script, TASK, environment, "1"], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def many(url: str) -> float:
    """Episodes per second of `SESSIONS` sessions at once."""
    with ThreadPoolExecutor(SESSIONS) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: episode(url, 3), range(SESSIONS)))
        return SESSIONS / (time.perf_counter() - began)


def main() -> None:
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    rates: list[float] = []
    with ExitStack() as stack:
        urls = {sandbox: stack.enter_context(serve(sandbox)) for sandbox in ("namespace", "docker")}
        for _ in range(ROUNDS):
            for sandbox, url in urls.items():
                for part, seconds in episode(url).items():
                    taken[sandbox, part].append(seconds)
            taken["harbor alone, docker", "episode"].append(natively("docker"))
            rates.append(many(urls["namespace"]))
    whole = statistics.median(taken["harbor alone, docker", "episode"])
    table = Table("", "reset ms", "exec ms", "submit ms", "episode s", "of harbor alone")
    for name in ("namespace", "docker", "harbor alone, docker"):
        cells = []
        for part, factor in (("reset", 1e3), ("exec", 1e3), ("submit", 1e3), ("episode", 1)):
            values = taken.get((name, part))
            cells.append(f"{statistics.median(values) * factor:.3g}" if values else "")
        table.add_row(name, *cells, f"{statistics.median(taken[name, 'episode']) / whole:.3f}")
    console = Console()
    console.print(table, ", ".join(f"{key} {value}" for key, value in description().items()))
    console.print(f"{SESSIONS} sessions at once, namespace: {statistics.median(rates):.3g} episodes/s")


if __name__ == "__main__":
    main()
