"""`python -m conformance.broken`: the kill table. `... list` names the defects, `... serve NAME` serves one."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import track
from rich.table import Table

from conformance.broken import Verdict, healthy, judged, load
from conformance.broken.wire import serving
from conformance.catalogue import requirements


def main() -> int:
    """Run it; returns the exit code: 0 if every defect is caught, 1 if not, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="python -m conformance.broken", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="names of the healthy and the broken servers")
    serve = commands.add_parser("serve", help="serve one of them until interrupted")
    serve.add_argument("name")
    serve.add_argument("--port", type=int, default=0, help="default: a free one")
    table = commands.add_parser("table", help="certify all of them and print what was caught (the default)")
    table.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print(*healthy(), *load(), sep="\n")
        return 0
    if arguments.command == "serve":
        return _serve(arguments.name, arguments.port)
    return _table(getattr(arguments, "jobs", 2))


def _serve(name: str, port: int) -> int:
    if name in healthy():
        server = healthy()[name][0]()
    elif name in load():
        server = load()[name].build()
    else:
        print(f"there is no server {name!r}; `list` names them", file=sys.stderr)
        return 2
    with serving(server, port) as running, contextlib.suppress(KeyboardInterrupt):
        print(running.url, flush=True)
        threading.Event().wait()
    return 0


def _table(jobs: int) -> int:
    console = Console()
    verdicts = list(track(_verdicts(jobs), "judging", total=len(load()), console=Console(stderr=True), transient=True))
    table = Table("", "defect", "requirements")
    for verdict in verdicts:
        mark = "caught" if verdict.caught else "[red]missed" if verdict.missed else "[red]too much"
        ids = [*sorted(verdict.killed), *(f"-{id}" for id in verdict.missed), *(f"+{id}" for id in verdict.extra)]
        table.add_row(mark, verdict.name, " ".join(ids))
    console.print(table)
    killed = {id for verdict in verdicts for id in verdict.killed}
    for level in ("MUST", "SHOULD"):
        all_ids = [it.id for it in requirements() if it.level == level and not it.untestable]
        alive = [id for id in all_ids if id not in killed]
        rate = 100 * (len(all_ids) - len(alive)) / len(all_ids)
        console.print(f"{level}: {len(all_ids) - len(alive)} of {len(all_ids)} proven ({rate:.0f} %)", *alive)
    return int(any(not verdict.caught for verdict in verdicts))


def _verdicts(jobs: int) -> Iterator[Verdict]:
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(judged, load())


if __name__ == "__main__":
    sys.exit(main())
