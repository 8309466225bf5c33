"""`interop doctor`: what works on this machine."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from interop.cli import output
from interop.cli.errors import Code
from interop.cli.options import Json, Traceback, command_app
from interop.doctor import Finding, examine

app = command_app()


@app.command()
def doctor(json: Json = False, traceback: Traceback = False) -> int:
    """Say what works on this machine, what does not, and what to type.

    Python, the default port, Docker, the extras of each converter, and the sandboxes for tasks, of which one is really
    started. Exits with 1 where something is wrong that nothing works without.

    Examples:

    \b
      interop doctor
      interop doctor --json | jq -r '.findings[] | select(.works | not) | .name'
    """
    findings = examine()
    if json:
        output.write_json({"findings": [asdict(it) for it in findings]})
    elif output.in_terminal():
        output.terminal().print(_table(findings))
    else:
        rows = [["yes" if it.works else "no", it.name, it.says, "" if it.works else it.fix] for it in findings]
        output.write_table(["works", "what", "seen", "what to do"], rows)
    return Code.FINDINGS if any(it.needed and not it.works for it in findings) else Code.OK


def _table(findings: list[Finding]) -> Table:
    table = Table("", "what", "seen", header_style="bold")
    for it in findings:
        seen = Text(it.says)
        if not it.works:
            seen.append(f"\n{it.fix}", style="cyan")
        mark = Text("✓", style="green") if it.works else Text("✗", style="red" if it.needed else "yellow")
        table.add_row(mark, it.name, seen)
    return table
