"""`make bench`: one run of all rows, interleaved, and a table. It judges goals, and never fails because of one."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.benchmarks import processes
from tests.benchmarks.costs import IDLE_SESSIONS, Cost, costs
from tests.benchmarks.variants import GROUPS, SERVERS, Row

Rates = dict[Row, list[float]]


@dataclass(frozen=True, slots=True)
class Result:
    """One row measured: rates in steps per second, the ratio as the median of the rounds' own ratios."""

    title: str
    median: float
    worst: float
    best: float
    ratio: float
    goal: float | None
    rounds: list[float] = field(repr=False)

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.ratio >= self.goal


def measure(rounds: int, seconds: float, console: Console) -> Rates:
    """All rows of all groups, one window each per round, every second round backwards."""
    rows = list(dict.fromkeys(row for group in GROUPS.values() for row in group))
    rates: Rates = {row: [] for row in rows}
    with ExitStack() as stack:
        urls = {name: stack.enter_context(processes.server(command)).url for name, command in SERVERS.items()}
        names = dict.fromkeys(row.generator for row in rows)
        generators = {name: stack.enter_context(processes.Generator(name)) for name in names}
        for row in rows:  # a client's first window imports, a server's first session too
            generators[row.generator].rate(row.variant, urls.get(row.server, ""), 0.05)
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("Rounds", total=rounds * len(rows))
        for number in range(rounds):
            for row in rows[:: -1 if number % 2 else 1]:
                rate = generators[row.generator].rate(row.variant, urls.get(row.server, ""), seconds, row.settle)
                rates[row].append(rate)
                progress.advance(task)
    return rates


def results(rows: Sequence[Row], rates: Rates) -> list[Result]:
    """The rows of one group, compared with its first."""
    base = rates[rows[0]]
    return [
        Result(
            row.title,
            statistics.median(rates[row]),
            min(rates[row]),
            max(rates[row]),
            statistics.median(a / b for a, b in zip(rates[row], base, strict=True)),
            row.goal,
            rates[row],
        )
        for row in rows
    ]


def speed_table(title: str, measured: Sequence[Result]) -> Table:
    """Rates and goals for people."""
    table = Table("", title=title, title_justify="left", title_style="bold")
    for heading in ("steps/s", "worst .. best", "ratio", "goal", ""):
        table.add_column(heading, justify="right")
    verdicts = {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}
    for result in measured:
        span = f"{result.worst:,.0f} .. {result.best:,.0f}"
        goal = "" if result.goal is None else f">= {result.goal:g}x"
        table.add_row(result.title, f"{result.median:,.0f}", span, _times(result.ratio), goal, verdicts[result.reached])
    return table


def cost_table(measured: Sequence[Cost]) -> Table:
    """Memory and start for people."""
    title = f"A CartPole-v1 server: start, and memory with {IDLE_SESSIONS} idle sessions"
    table = Table("server", title=title, title_justify="left", title_style="bold")
    for heading in ("first observation after", "empty", "each session"):
        table.add_column(heading, justify="right")
    for cost in measured:
        memory = ["?" if mib is None else f"{mib:,.2f} MiB" for mib in (cost.empty, cost.session)]
        table.add_row(cost.title, f"{cost.start:.2f} s", *memory)
    return table


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 100 else f"{ratio:.1f}x"


def _machine() -> dict[str, str]:
    cores = os.cpu_count()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{cores} cores, {_processor()}, {platform.system()}, Python {platform.python_version()}",
        "load average": load,
        "revision": _revision(),
    }


def _revision() -> str:
    """The commit of the code measured; an edit during a run is measured in part, as processes start throughout it."""
    code = ("--", "interop", "converters")
    try:
        commit, edits = (
            subprocess.run(["git", "-C", processes.ROOT, *command, *code], capture_output=True, text=True, timeout=10)
            for command in (("log", "-1", "--format=%h"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (commit.stdout.strip() or "unknown") + ("-edited" if edits.stdout.strip() else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> int:
    """Run, print, and write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s instead of 7 of 0.7 s")
    parser.add_argument("--rounds", type=int, default=None, help="how many rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all results, every round's too")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    seconds, repeats = (0.3, 1) if arguments.quick else (0.7, 3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes end on this too
    console = Console()
    console.width = max(console.width, 100)  # a file wraps no lines
    before = _machine()
    try:
        rates = measure(rounds, seconds, console)
        with console.status("Starts and memory"):
            spent = list(costs(repeats))
    except processes.BenchmarkError as exc:
        console.print(f"[red]{exc}[/]", highlight=False)
        return 1
    groups = {title: results(rows, rates) for title, rows in GROUPS.items()}
    console.print(", ".join(f"{key} {value}" for key, value in before.items()), highlight=False)
    console.print(f"{rounds} rounds of {seconds:g} s windows, interleaved; the ratio is to each table's first row.")
    if (after := _revision()) != before["revision"]:
        console.print(f"[red]The code changed during the run: revision {after} at its end.[/]")
    for title, measured in groups.items():
        console.print(speed_table(title, measured))
    console.print(cost_table(spent))
    if arguments.json:
        document = {
            **before,
            "rounds": rounds,
            "seconds": seconds,
            "groups": {title: [asdict(result) for result in measured] for title, measured in groups.items()},
            "costs": [asdict(cost) for cost in spent],
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
