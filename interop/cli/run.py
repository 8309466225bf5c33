"""`interop run`: an image as a server, until a signal comes."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from interop.cli import output
from interop.cli.options import Json, Traceback, command_app
from interop.providers import Image, image_of

app = command_app()


@app.command()
def run(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="An image of an environment, with limits if you like: cartpole, cartpole?memory=1g&cpus=1.",
            show_default=False,
        ),
    ],
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
    (Ctrl+C) or SIGTERM ends it and removes the container; so does kill -9, a second later. Exits with 1 where the
    container ends, with its last words. Limits and variables stand behind a question mark; env= names variables of this
    process that the container gets.

    Examples:

    \b
      interop run cartpole
      interop run "cartpole?memory=1g&cpus=1.5&pids=512" --port 0 --json
      interop run "judge?env=OPENAI_API_KEY"
    """
    found = image_of(image) or image_of(f"docker:{image}")
    assert found is not None
    run_image(found, host=host, port=port, token=token, json=json)


def run_image(image: Image, *, host: str, port: int, token: str | None, json: bool) -> None:
    """Run an image, and say where it answers, until a signal comes."""
    # Raised where the program waits, so that the container is removed; an end that was asked for is a success.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    server = image.start(host=host, port=port, token=token)
    try:
        if json or not output.in_terminal():
            output.write_json({"url": server.url, "image": image.name, "container": server.id[:12]}, one_line=True)
        else:
            output.write(f"{image.name} answers at {server.url}; Ctrl+C ends it")
        server.wait()
    finally:
        server.stop()


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
