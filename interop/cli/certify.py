"""`interop certify`: judge a server by the specification, with evidence."""

from __future__ import annotations

import contextlib
import enum
import json as jsonlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from interop.cli import output
from interop.cli.errors import Code, CommandError, suite_errors
from interop.cli.options import NEWEST, Json, Profile, Requirements, Token, Traceback, command_app
from interop.cli.reports import show
from interop.suite import Report, suite

app = command_app()


class Format(enum.StrEnum):
    json = "json"
    openenv = "openenv"
    junit = "junit"


@app.command()
def certify(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="URL|SOURCE|docker:IMAGE|DIR",
            help="A server's address, or what to serve for this: a source, an image, a directory with an openenv.yaml.",
            show_default=False,
        ),
    ] = None,
    profile: Profile = None,
    requirements: Requirements = NEWEST,
    # What is known of the environment
    action: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON", help="A valid action; repeat for more.", show_default="derived from the action schema"
        ),
    ] = None,
    actions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON: a list of actions, or an object with actions by role."),
    ] = None,
    reset: Annotated[str | None, typer.Option(metavar="JSON", help="Arguments of every reset.")] = None,
    expected_failures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='TOML: a table [expected] with lines WS-9 = "why it fails".'),
    ] = None,
    # How to reach it
    token: Token = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="The Python that serves a source or a directory.", show_default="this program's"
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Sessions used at a time.")] = 4,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judge what an earlier run recorded again, without a server."),
    ] = None,
    # What to show
    to: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write the report (JSON, JUnit, HTML, badge) and the evidence there."
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Print this and nothing else; openenv is the document of `openenv validate`."),
    ] = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Judge a server by the specification, with evidence.

    Every requirement of docs/protocol.md that applies is judged by what the server says on the wire. A MUST that is not
    met is a failure, a SHOULD a warning. Sessions that are opened are closed. Exits with 0 if the server is certified,
    or fails exactly where --expected-failures says; with 1 if not; with 2 where nothing listens, or a file makes no
    sense.

    Examples:

    \b
      interop certify gym:CartPole-v1
      interop certify http://127.0.0.1:8000 --profile core --action '{"message": "hello"}'
      interop certify ./my_env --python .venv/bin/python -o report
      interop certify docker:my-env:latest --expected-failures expected.toml
      interop certify --evidence report/evidence --profile mcp
    """
    if json and format not in (None, Format.json):
        raise CommandError(f"--json and --format {format} exclude each other")
    if (target is None) == (evidence is None):
        raise CommandError("name a target (a URL, a source, docker:IMAGE, a directory) or --evidence DIR, one of them")
    if action and actions:
        raise CommandError("--action and --actions exclude each other")
    with suite_errors():
        common = {"requirements": requirements, "expected_failures": expected_failures}
        if evidence is not None:
            report: Report = suite().rejudge(evidence, profile=profile, **common)
        else:
            given = [suite().json_text(text, f"--action {text}") for text in action or ()] or actions
            arguments = None if reset is None else suite().json_text(reset, f"--reset {reset}")
            how = {"token": token, "python": python, "jobs": jobs}
            with _watched() as progress:
                report = suite().certify(
                    target, profile=profile or "all", actions=given, reset=arguments, progress=progress, **how, **common
                )
    if to is not None:
        _write(report, to)
    _print(report, Format.json if json else format, to)
    if not report.ok:
        raise typer.Exit(Code.FINDINGS)


@contextlib.contextmanager
def _watched() -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr that says how far it is, in a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = output.notices()
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def tell(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        yield tell


def _write(report: Report, directory: Path) -> None:
    try:
        report.write(directory)
    except OSError as exc:
        raise CommandError(f"--output {directory}: {exc.strerror}") from exc


def _print(report: Report, format: Format | None, directory: Path | None) -> None:
    if format is None:
        show(report, directory)
        return
    document = report.document() if format is Format.json else suite().rendered(report, format.value)
    text = document if isinstance(document, str) else jsonlib.dumps(document, indent=2, ensure_ascii=False)
    output.write(text)
