"""`make bench-plots`: how steps per second scale with sessions and with the size of observations."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.benchmarks import machine, plots, processes
from tests.benchmarks.plots import Curves
from tests.benchmarks.variants import SERVERS
from tests.benchmarks.windows import Load, Loads, Window

SESSIONS = [2**power for power in range(9)]
SIZES = [16 * 4**power for power in range(10)]
WINDOW = Window(0.5, least=3)
REPLY = 128
"""About the bytes of a CartPole reply."""
IMAGES = processes.ROOT / "docs/images"

Systems = Mapping[str, tuple[Load, processes.Running]]
"""What is compared at one point, by name."""


def scale(points: Iterable[int], systems: Callable[[int, ExitStack], Systems], loads: Loads, rounds: int) -> Curves:
    """Medians of steps per second at each point; the systems of one point take turns."""
    curves: dict[str, dict[int, float]] = {}
    for point in points:
        with ExitStack() as stack:
            compared = systems(point, stack)
            for load, server in compared.values():  # a server's first session imports
                loads.measure(load, server, Window(0.05))
            rates: dict[str, list[float]] = {name: [] for name in compared}
            for _ in range(rounds):
                for name, (load, server) in compared.items():
                    rates[name].append(loads.measure(load, server, WINDOW)["rate"])
        for name, measured in rates.items():
            curves.setdefault(name, {})[point] = statistics.median(measured)
    return curves


def run(rounds: int, console: Console) -> tuple[Curves, Curves]:
    """By sessions, and by bytes."""
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, transient=True))
        loads = Loads(stack)
        commands = {name: SERVERS[name] for name in ("ours", "official", "floor")}
        commands["official-sized"] = processes.official("sized")
        running = {name: stack.enter_context(processes.server(command)) for name, command in commands.items()}

        def by_sessions(count: int, _: ExitStack) -> Systems:
            return {
                plots.FLOOR: (Load("bare", "floors", {"size": REPLY}, sessions=count), running["floor"]),
                plots.OURS: (Load("ours", "halves", sessions=count), running["ours"]),
                plots.OFFICIAL: (Load("official", "sessions", sessions=count), running["official"]),
            }

        def by_size(size: int, stack: ExitStack) -> Systems:
            # A Gymnasium environment has one space, so each size has a server.
            ours = stack.enter_context(
                processes.server(processes.ours(f"gym:tests.benchmarks.frames:Sized-v0?size={size}"))
            )
            return {
                plots.FLOOR: (Load("bare", "sized", {"size": size}), running["floor"]),
                plots.OURS: (Load("ours", "sized"), ours),
                plots.OFFICIAL: (Load("official", "sized", {"size": size}), running["official-sized"]),
            }

        sessions = scale(progress.track(SESSIONS, description="Sessions"), by_sessions, loads, rounds)
        sizes = scale(progress.track(SIZES, description="Sizes"), by_size, loads, rounds)
    return sessions, sizes


def main() -> int:
    """Measure, draw, and write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="windows at each point; their median is drawn")
    parser.add_argument("--images", type=Path, default=IMAGES, metavar="DIRECTORY", help="where to draw")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes end on this too
    console = Console()
    before = machine.description()
    try:
        sessions, sizes = run(arguments.rounds, console)
    except processes.BenchmarkError as exc:
        console.print(f"[red]{exc}[/]", highlight=False)
        return 1
    arguments.images.mkdir(parents=True, exist_ok=True)
    plots.draw_sessions(sessions, arguments.images / "scaling-sessions.png")
    plots.draw_sizes(sizes, arguments.images / "scaling-sizes.png")
    if arguments.json:
        document = {**before, "rounds": arguments.rounds, "sessions": sessions, "sizes": sizes}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
