"""`interop export`: an environment as a package of another ecosystem."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from interop.cli import output
from interop.cli.errors import CommandError
from interop.cli.options import Json, SourceOrUrl, Token, Traceback, command_app
from interop.sources import GROUP

app = command_app()

_HARBOR = "for harbor"


@app.command()
def export(
    target: SourceOrUrl,
    to: Annotated[Literal["verifiers", "harbor"], typer.Option(help="The ecosystem.", show_default=False)],
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where it is written.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The package's name.", show_default="the environment's")
    ] = None,
    # verifiers
    v0: Annotated[
        bool, typer.Option("--v0", help="For the v0 API (verifiers 0.1.14 to 0.3.1), with native calls of tools.")
    ] = False,
    # harbor
    tasks: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"{_HARBOR}: the first tasks of the split.", show_default="all"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"{_HARBOR}: a task for each seed from 0 on.", show_default="1 without tasks"
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"{_HARBOR}: the split.", show_default="the first with tasks")
    ] = None,
    single_container: Annotated[
        bool,
        typer.Option(
            "--single-container", help=f"{_HARBOR}: no sidecar, for sandboxes without Docker Compose; weaker."
        ),
    ] = False,
    reward: Annotated[
        Literal["return", "last"] | None,
        typer.Option(help=f"{_HARBOR}: the episode's return or its last reward.", show_default="return"),
    ] = None,
    oracle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"{_HARBOR}: Python that plays the tasks by MCP.", show_default="none"),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            metavar="REQUIREMENT|PATH",
            help=f"{_HARBOR}: the hub in the images: a requirement, a wheel or sdist, or a directory of all wheels.",
            show_default="this release",
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="PACKAGE", help=f"{_HARBOR}: install this too; repeat for more.", show_default="none"
        ),
    ] = None,
    base_image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help=f"{_HARBOR}: what images begin with.", show_default="python:3.13-slim"),
    ] = None,
    token: Token = None,
    json: Json = False,
    traceback: Traceback = False,
) -> None:
    """Write a package of another ecosystem whose environment is a server.

    For verifiers the package has the server's address, which an argument of its environment overrides; a source or an
    image is served by the process that plays it. For harbor it is a directory of tasks, for any of its agents: a source
    is served inside, a server is played where it is.
    No token is written: INTEROP_TOKEN is taken at run time. A directory that is not empty is not touched.
    Exits with 1 where the server does not speak OpenEnv, with 2 where nothing listens.

    Examples:

    \b
      interop export http://127.0.0.1:8000 --to verifiers -o ./cartpole
      interop export http://127.0.0.1:8000 --to verifiers -o ./cartpole --v0 --name my-cartpole
      interop export gym:FrozenLake-v1 --to verifiers -o ./lake
      interop export gym:FrozenLake-v1 --to harbor -o ./lake --seeds 10
      interop export http://192.0.2.7:8000 --to harbor -o ./words --split eval --tasks 20 --name acme/words
    """
    harbor: dict[str, Any] = {
        "tasks": tasks,
        "seeds": seeds,
        "split": split,
        "single": single_container or None,
        "reward": reward,
        "oracle": oracle,
        "hub": hub,
        "packages": with_,
        "base_image": base_image,
    }
    given = {key: value for key, value in harbor.items() if value is not None}
    writer = _writer(to)
    if to == "harbor":
        if v0:
            raise CommandError("--v0 is for verifiers; leave it out")
        _written_tasks(directory, writer.write(target, directory, name=name, token=token, **given), json)
        return
    if given:
        options = {"single": "single-container", "packages": "with", "base_image": "base-image"}
        raise CommandError(f"--{options.get(key := next(iter(given)), key)} is for harbor; leave it out")
    _written_package(directory, writer.write(target, directory, name=name, v0=v0, token=token), v0, json)


def _writer(to: str) -> Any:
    """What writes for an ecosystem: it is beside the `wrap`, which is not imported, as it may need the ecosystem."""
    (gym,) = entry_points(group=GROUP, name="gym")
    return import_module(f"{gym.module.partition('.')[0]}.{to}.package")


def _written_package(directory: Path, written: str, v0: bool, json: bool) -> None:
    files = sorted(str(path) for path in directory.iterdir())
    if json:
        output.write_json({"name": written, "to": "verifiers", "api": "v0" if v0 else "v1", "files": files})
        return
    output.write(f"{written}: a package for verifiers, its {'v0' if v0 else 'v1'} API")
    for file in files:
        output.write(f"  {file}")
    output.write(f"\nInstall it where verifiers is:\n  pip install {directory}")


def _written_tasks(directory: Path, names: list[str], json: bool) -> None:
    tasks = {name: str(directory / name.split("/")[1]) for name in names}
    if json:
        output.write_json({"to": "harbor", "tasks": tasks})
        return
    output.write(f"{len(tasks)} task{'s' if len(tasks) > 1 else ''} for harbor")
    for name, path in tasks.items():
        output.write(f"  {name}  {path}")
    output.write(f"\nRun them where harbor is:\n  harbor run -p {directory} -a AGENT -m MODEL")
