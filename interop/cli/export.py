"""`interop export`: a server as a package of another ecosystem."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from interop.cli import output
from interop.cli.options import Json, Token, Traceback, command_app
from interop.sources import GROUP

app = command_app()


@app.command()
def export(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A server's address, http://host:port.", show_default=False)
    ],
    to: Annotated[Literal["verifiers"], typer.Option(help="The ecosystem.", show_default=False)],
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the package is written.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The package's name.", show_default="the environment's")
    ] = None,
    v0: Annotated[
        bool, typer.Option("--v0", help="For the v0 API (verifiers 0.1.14 to 0.3.1), with native calls of tools.")
    ] = False,
    token: Token = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Write a package of another ecosystem whose environment is a server.

    The package has the server's address, which an argument of its environment overrides, and no token: it takes
    INTEROP_TOKEN where it runs. A directory that is not empty is not touched.
    Exits with 1 where the server does not speak OpenEnv, with 2 where nothing listens.

    Examples:

    \b
      interop export http://127.0.0.1:8000 --to verifiers -o ./cartpole
      interop export http://127.0.0.1:8000 --to verifiers -o ./cartpole --v0 --name my-cartpole
    """
    (point,) = entry_points(group=GROUP, name=to)
    writer: Any = import_module(f"{point.module.rpartition('.')[0]}.package")
    written: str = writer.write(url, directory, name=name, v0=v0, token=token)
    files = sorted(str(path) for path in directory.iterdir())
    if json:
        output.write_json({"name": written, "to": to, "api": "v0" if v0 else "v1", "files": files})
        return
    output.write(f"{written}: a package for verifiers, its {'v0' if v0 else 'v1'} API")
    for file in files:
        output.write(f"  {file}")
    output.write(f"\nInstall it where verifiers is:\n  pip install {directory}")
