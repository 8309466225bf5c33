"""`interop check-tasks`: is a set of harbor tasks sound?"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import typer

from interop.cli import output
from interop.cli.errors import Code, CommandError
from interop.cli.options import Json, Traceback, command_app
from interop.sources import GROUP

app = command_app()

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "dim"}


@app.command("check-tasks")
def check_tasks(
    source: Annotated[
        str,
        typer.Argument(
            metavar="harbor:PATH",
            help="A task directory, a directory of them, or a registry's file, with ?dataset=NAME@VERSION.",
            show_default=False,
        ),
    ],
    static: Annotated[bool, typer.Option("--static", help="Only look at the files; harbor is not needed.")] = False,
    # How it is played
    sandbox: Annotated[
        Literal["auto", "namespace", "docker"], typer.Option(help="Where; auto is the first that can play the task.")
    ] = "auto",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Trials at a time.")] = 4,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Judge harbor tasks: is the set sound?

    The files of each task are looked at, then harbor itself plays it twice: by its solution and by an agent that does
    nothing. A task is sound if no finding is an error: its solution plays it to the end in time and is graded better
    than doing nothing, which is graded too. harbor has no scale of rewards, so a solution below 1.0 is a warning.
    Exits with 0 if all tasks are sound, with 1 if not, with 2 where there are none.

    Examples:

    \b
      interop check-tasks harbor:./tasks
      interop check-tasks harbor:./tasks/hello --sandbox docker
      interop check-tasks 'harbor:registry.json?dataset=hello@1.0' --jobs 8
      interop check-tasks harbor:./tasks --static --json
    """
    target, dataset = _parsed(source)
    (point,) = entry_points(group=GROUP, name="harbor")
    checker: Any = import_module(f"{point.module.rpartition('.')[0]}.check")
    with _watched() as progress:
        checked = checker.check(target, dataset=dataset, static=static, sandbox=sandbox, jobs=jobs, progress=progress)
    sound = all(it.sound for it in checked)
    if json:
        output.write_json({"target": target, "sound": sound, "tasks": [it.document() for it in checked]})
    else:
        _show(checker, checked, target)
    if not sound:
        raise typer.Exit(Code.FINDINGS)


def _parsed(source: str) -> tuple[str, str | None]:
    """The path and the dataset."""
    kind, _, rest = source.partition(":")
    target, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if kind != "harbor" or not target or set(options) - {"dataset"}:
        raise CommandError(f"{source!r} names no harbor tasks; accepted is harbor:PATH, or harbor:FILE?dataset=NAME")
    return target, options.get("dataset")


@contextlib.contextmanager
def _watched() -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr that says how far it is, in a terminal."""
    from rich.progress import Progress

    console = output.notices()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def tell(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        yield tell


def _show(checker: Any, checked: list[Any], target: str) -> None:
    rows = [_row(checker, it) for it in checked]
    output.write_table(["task", "lint", "needs internet", ">oracle", ">nop", "verdict"], rows, title=target)
    for it in checked:
        for found, more in _shortened(it.findings):
            place = ":".join(str(part) for part in (found.file, found.line) if part)
            seen = f"{place}: {found.message}" if place else found.message
            output.write("")
            output.write_entry(found.severity, f"{it.name}: {found.rule}", _STYLES[found.severity])
            output.write_entry("seen", f"{seen} (and {more} more, which --json shows)" if more else seen, "dim")
            output.write_entry("fix", found.fix, "dim")
    unsound = [it.name for it in checked if not it.sound]
    number = f"{len(checked)} task{'s' if len(checked) > 1 else ''}"
    played = any(it.runs for it in checked)
    good = f"sound: {number}" if played else f"no file of the {number} is wrong; none was played"
    verdict = f"not sound: {len(unsound)} of {len(checked)}: {', '.join(unsound)}" if unsound else good
    output.write("")
    output.write_entry("verdict", verdict, "bold red" if unsound else "bold green")


def _shortened(findings: list[Any]) -> Iterator[tuple[Any, int]]:
    """The findings, of notes of one rule only the first, with the number of the others."""
    notes = Counter(it.rule for it in findings if it.severity == "note")
    for it in findings:
        if it.severity != "note":
            yield it, 0
        elif it.rule in notes:
            yield it, notes.pop(it.rule) - 1


def _row(checker: Any, it: Any) -> list[str]:
    rewards = [checker.shown(it.runs[agent].rewards) if agent in it.runs else "" for agent in ("oracle", "nop")]
    counts = Counter(found.severity for found in it.findings if found.rule not in checker.RULES)
    lint = ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items())
    verdict = "not sound" if not it.sound else "sound" if it.runs else "not played"
    return [it.name, lint or "ok", ", ".join(it.internet), *rewards, verdict]
