"""`interop requirements`: the catalogue that servers are judged by."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from interop.cli import output
from interop.cli.errors import suite_errors
from interop.cli.options import NEWEST, Json, Requirements, Traceback, command_app
from interop.suite import suite

app = command_app()


@app.command()
def requirements(
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Show all about one, such as WS-1.", show_default=False)
    ] = None,
    profile: Annotated[str, typer.Option(metavar="NAME", help="core, mcp, tasks, gymnasium, strict, or all.")] = "all",
    area: Annotated[
        str | None, typer.Option(metavar="NAME", help="transport, frames, errors, ...", show_default="all")
    ] = None,
    requirements: Requirements = NEWEST,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Show the requirements that servers are judged by.

    Each is one sentence of docs/protocol.md. With an ID everything about it: where it comes from, since which protocol
    revision it holds, how to mend a server that breaks it, or why no check can judge it.

    Examples:

    \b
      interop requirements
      interop requirements --profile core --area transport
      interop requirements WS-26
      interop requirements --json | jq -r '.requirements[] | select(.level == "MUST") | .id'
    """
    with suite_errors():
        if id is not None:
            _one(suite().find(id, requirements), json)
            return
        found = suite().select(profile, requirements, area)
    if json:
        document = {"version": requirements, "profile": profile, "requirements": [asdict(it) for it in found]}
        output.write_json(document)
        return
    rows = [[it.id, it.level, it.profile, it.sentence] for it in found]
    output.write_table(["id", "level", "profile", "sentence"], rows, title=f"openenv {requirements}, profile {profile}")


def _one(requirement: Any, json: bool) -> None:
    document = asdict(requirement)
    if json:
        output.write_json(document)
        return
    for label, value in document.items():
        if value:
            shown = f"protocol revision P{value}" if label == "since" else value
            output.write_entry(label, shown, "bold" if label == "id" else "dim")
