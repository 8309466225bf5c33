"""`interop package`: a source as a normal OpenEnv package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interop.cli import output
from interop.cli.options import Json, SourceName, Traceback, command_app
from interop.packaging.write import BASE_IMAGE, Package, write

app = command_app()


@app.command()
def package(
    source: SourceName,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where it is written.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The package's name, such as my_env.", show_default="the environment's"),
    ] = None,
    base_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="What the image begins with; it has Python 3.12 or newer as python3.",
            show_default=f"{BASE_IMAGE}, or the task's own",
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="PACKAGE", help="Install this too; repeat for more.", show_default="none"),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            metavar="REQUIREMENT|PATH",
            help="The hub in the image: a requirement, a wheel or sdist, or a directory of all wheels.",
            show_default="this release",
        ),
    ] = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Write a source as a complete OpenEnv package, with its Dockerfile.

    The official tools validate, build, push and start it. The environment is played here first: what the package
    declares of it is what was seen. A directory that is not empty is not touched.

    Examples:

    \b
      interop package gym:CartPole-v1 -o ./cartpole_env
      interop package gym:minigrid:MiniGrid-Empty-5x5-v0 -o ./grid_env --with minigrid --name grid_env
      interop package verifiers:./environments/wordle -o ./wordle_env --with textarena
      interop package harbor:./tasks/hello -o ./hello_env
      interop package gym:CartPole-v1 -o ./cartpole_env --hub ./wheels --base-image acme/python:3.13
    """
    written = write(source, directory, name=name, base_image=base_image, hub=hub, packages=with_ or [])
    if written.survey.trouble:
        output.warning(
            f"openenv.yaml declares no execution, as the official validator cannot play it: {written.survey.trouble}"
        )
    _show(written, directory, json)


def _show(written: Package, directory: Path, json: bool) -> None:
    names, seen = written.names, written.survey
    if json:
        output.write_json(
            {
                "name": names.name,
                "distribution": names.distribution,
                "environment": seen.description.name,
                "files": [str(path) for path in written.files],
                "episodes": seen.episodes,
                "rewards": list(seen.rewards),
                "validation": seen.trouble or None,
            }
        )
        return
    output.write(f"{names.name}: a package of {seen.description.name}")
    for path in written.files:
        output.write(f"  {path}")
    output.write(f"\nBuild its image, and judge it:\n  interop build {directory} -t {names.image}")
    output.write(f"  interop certify {directory}")
