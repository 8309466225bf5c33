"""`make bench`: one run of all rows, interleaved, the tables, and the goals; it fails when one is missed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.benchmarks import machine, processes
from tests.benchmarks.costs import Cost, costs, import_milliseconds
from tests.benchmarks.goals import PROMISES, judge
from tests.benchmarks.tables import Figures, cost_table, goal_table, speed_table
from tests.benchmarks.variants import GROUPS, SERVERS, Group
from tests.benchmarks.windows import Loads, Window

COSTS, IMPORT = "start and memory", "import interop"
"""What is no group of rows, by the titles that `--only` searches."""


def measure(groups: Sequence[Group], rounds: int, seconds: float, console: Console) -> Figures:
    """All rows of these groups, one window each per round, every second round backwards."""
    rows = [row for group in groups for row in group.rows]
    figures: dict[str, list[dict[str, float]]] = {row.key: [] for row in rows}
    with ExitStack() as stack:
        names = dict.fromkeys(row.server for row in rows if row.server)
        servers = {name: stack.enter_context(processes.server(SERVERS[name])) for name in names}
        loads = Loads(stack)
        for row in rows:  # a client's first window imports, a server's first session too
            loads.measure(row.load, servers.get(row.server), Window(0.05))
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("Rounds", total=rounds * len(rows))
        for number in range(rounds):
            for row in rows[:: -1 if number % 2 else 1]:
                window = Window(row.seconds or seconds, row.settle)
                figures[row.key].append(loads.measure(row.load, servers.get(row.server), window))
                progress.advance(task)
    return figures


def series(groups: Sequence[Group], figures: Figures, spent: Mapping[str, Sequence[Cost]]) -> dict[str, list[float]]:
    """What goals are judged by."""
    found = {}
    for group in groups:
        for row in group.rows:
            found[row.key] = [figure[group.figure] for figure in figures[row.key]]
            found[f"{row.key} cores"] = [figure["cores"] for figure in figures[row.key]]
    for name, measured in spent.items():
        found[f"start {name}"] = [cost.start for cost in measured]
        found[f"session {name}"] = [cost.session for cost in measured]
    return found


def main() -> int:
    """Run, print, and write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s instead of 7 of 0.7 s")
    parser.add_argument("--rounds", type=int, default=None, help="how many rounds")
    parser.add_argument("--only", default="", metavar="WORD", help="the tables whose title has this word")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all results, every round's too")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    seconds = 0.3 if arguments.quick else 0.7
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes end on this too
    console = Console()
    console.width = max(console.width, 140)  # a file wraps no lines
    before = machine.description()

    def chosen(title: str) -> bool:
        return arguments.only.lower() in title.lower()

    groups = [group for group in GROUPS if chosen(group.title)]
    try:
        figures = measure(groups, rounds, seconds, console) if groups else {}
        with console.status("Starts and memory"):
            spent = costs(rounds) if chosen(COSTS) else {}
            imports = [import_milliseconds()] if chosen(IMPORT) else []
    except processes.BenchmarkError as exc:
        console.print(f"[red]{exc}[/]", highlight=False)
        return 1
    found = series(groups, figures, spent) | ({"import": imports} if imports else {})
    judged = judge(PROMISES, found)
    console.print(", ".join(f"{key} {value}" for key, value in before.items()), highlight=False)
    console.print(f"{rounds} rounds of {seconds:g} s windows, interleaved; the ratio is to each table's first row.")
    if (after := machine.revision()) != before["revision"]:
        console.print(f"[red]The code changed during the run: revision {after} at its end.[/]")
    for group in groups:
        console.print(speed_table(group, figures))
    if spent:
        console.print(cost_table({name: Cost.median(measured) for name, measured in spent.items()}))
    console.print(goal_table(judged))
    if arguments.json:
        document = {
            **before,
            "rounds": rounds,
            "seconds": seconds,
            "groups": {group.title: {row.title: figures[row.key] for row in group.rows} for group in groups},
            "costs": {name: [asdict(cost) for cost in measured] for name, measured in spent.items()},
            "import": imports,
            "goals": [asdict(result) for _, results in judged for result in results],
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(result.reached for _, results in judged for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
