"""The program: finds the command, runs it, and turns what it raises into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from interop import __version__
from interop.cli import output
from interop.cli.errors import Code, report

COMMANDS = {
    "serve": "Serve an environment over OpenEnv.",
    "info": "Say what a source or a server is.",
    "play": "Play episodes, by chance, by hand or from a file.",
    "bench": "Measure steps per second, in process and over every kind of connection.",
    "mcp": "Show how agents attach to a server by MCP.",
    "export": "Write a package of another ecosystem whose environment is a server.",
    "package": "Write a source as a complete OpenEnv package, with its Dockerfile.",
    "build": "Build the image of a package or a source, with the Docker engine.",
    "run": "Run an image of an environment as a server.",
    "certify": "Judge a server by the specification, with evidence.",
    "check-tasks": "Judge harbor tasks: is the set sound?",
    "requirements": "Show the requirements that servers are judged by.",
    "doctor": "Say what works on this machine, what does not, and what to type.",
}
"""The commands and their summaries. A command's module is imported when it is called."""

_TEACHING = """\
The interoperability hub for agent environments.

Start here:

  interop serve gym:CartPole-v1            any environment becomes an OpenEnv server
  interop info http://127.0.0.1:8000       what a server is, in another terminal
  interop play http://127.0.0.1:8000       an episode on it
  interop certify http://127.0.0.1:8000    whether it speaks the protocol, with evidence

Commands:

{commands}

Where a command takes SOURCE, name what to serve: gym:CartPole-v1, openenv:MODULE:ATTRIBUTE,
verifiers:DIRECTORY, harbor:DIRECTORY.
Where it takes SOURCE|URL, a server's address will do: http://host:port.

Options:

  --version    The version.
  --help       This text; `interop COMMAND --help` has each command's options and examples.
"""


class _Commands(TyperGroup):
    """Imports a command when it is asked for, so that a slow import costs its own command alone."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"interop.cli.{cmd_name.replace('-', '_')}").app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; accepted are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, COMMANDS)) + 4
        lines = [f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items()]
        formatter.write(_TEACHING.format(commands="\n".join(lines)))


app = typer.Typer(cls=_Commands, add_completion=False)


def _show_version(asked: bool) -> None:
    if asked:
        output.write(f"interop {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_show_version)] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        output.write(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    in_main_thread = threading.current_thread() is threading.main_thread()
    # As an exception, so that servers and processes that a command started end with it.
    before = signal.signal(signal.SIGTERM, _terminate) if in_main_thread else None
    try:
        # What standalone mode does is ours: one line per error, and our exit codes.
        result = typer.main.get_command(app).main(args, prog_name="interop", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has enough; Python must not fail again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.OK
    except KeyboardInterrupt:
        return Code.INTERRUPTED
    except Exception as exc:
        return report(exc)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    return result if isinstance(result, int) else Code.OK


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(Code.TERMINATED)
