"""`interop build`: the image of a package or of a source."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from interop.cli import output
from interop.cli.errors import CommandError
from interop.cli.options import Json, Traceback, command_app
from interop.packaging.build import build as build_image
from interop.packaging.write import write

app = command_app()


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|SOURCE",
            help="A package's directory, or a source, of which one is written.",
            show_default=False,
        ),
    ],
    tag: Annotated[str, typer.Option("--tag", "-t", metavar="TAG", help="The image's name.", show_default=False)],
    base_image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="What the image begins with.", show_default="what the Dockerfile says"),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="PACKAGE", help="SOURCE: install this too; repeat.", show_default="none"),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(metavar="REQUIREMENT|PATH", help="SOURCE: the hub in the image.", show_default="this release"),
    ] = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Build the image of a package or a source, with the Docker engine.

    What the engine says goes to stderr. Exits with 1 where the build fails, with 2 where no engine answers.

    Examples:

    \b
      interop build ./cartpole_env -t cartpole
      interop build gym:CartPole-v1 -t cartpole
      interop build harbor:./tasks/hello -t hello
      interop build gym:CartPole-v1 -t cartpole --hub ./wheels --base-image acme/python:3.13
    """
    with _package(source, base_image, hub, with_ or []) as directory:
        made = build_image(directory, tag, base_image=base_image, progress=_say)
        once = "interop:harbor" in (directory / "openenv.yaml").read_text(encoding="utf-8", errors="replace")
    if json:
        output.write_json({"tag": tag, **made})
        return
    output.write(
        f"{tag}: {made['bytes'] / 1e6:.0f} MB\n\nRun it{'' if once else ', and judge it'}:\n  interop run {tag}"
    )
    if not once:  # a container plays one episode of a task, and the suite many
        output.write(f"  interop certify docker:{tag}")


@contextmanager
def _package(source: str, base_image: str | None, hub: str | None, packages: list[str]) -> Iterator[Path]:
    """The directory to build, which is written for this if there is none."""
    if Path(source).is_dir():
        if hub is not None or packages:
            option = "--hub" if hub is not None else "--with"
            raise CommandError(f"{source} is a package, which says what it installs; leave out {option}")
        yield Path(source)
        return
    if ":" not in source:
        raise CommandError(f"{source} is neither a package's directory nor a source such as gym:CartPole-v1")
    with tempfile.TemporaryDirectory(prefix="interop-package-") as place:
        directory = Path(place) / "package"
        write(source, directory, base_image=base_image, hub=hub, packages=packages)
        yield directory


def _say(line: str) -> None:
    output.write_error_text(f"{line}\n")
