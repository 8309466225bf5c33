"""`interop run`: an image as a server, until a signal comes."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from interop.cli import output
from interop.cli.options import Json, Traceback, command_app
from interop.packaging.run import running

app = command_app()


@app.command()
def run(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image of an environment.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address of this machine to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="INTEROP_TOKEN", metavar="TEXT", help="Images of ours ask for this token.", show_default="none"
        ),
    ] = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Run an image of an environment as a server.

    One line says when it answers: {"url": "http://127.0.0.1:8000", "image": "cartpole", "container": "..."}. SIGINT
    (Ctrl+C) or SIGTERM ends it and removes the container. Exits with 1 where the container ends, with its last words.

    Examples:

    \b
      interop run cartpole
      interop run cartpole --port 0 --json
    """
    # Raised where the program waits, so that the container is removed; an end that was asked for is a success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with running(image, host=host, port=port, token=token) as server:
        if json or not output.in_terminal():
            output.write_json({"url": server.url, "image": image, "container": server.id[:12]}, one_line=True)
        else:
            output.write(f"{image} answers at {server.url}; Ctrl+C ends it")
        server.wait()


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
