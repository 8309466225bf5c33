"""Builds the image of a package with the Docker engine, whose words are passed on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interop.errors import InteropError, SourceError
from interop.packaging.engine import engine
from interop.packaging.requirements import HUB

Progress = Callable[[str], None]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = 6
"""Of a build that has failed so many lines are looked at for its error."""


def build(
    directory: Path, tag: str, *, base_image: str | None = None, progress: Progress = lambda line: None
) -> dict[str, Any]:
    """Build the image of a package.

    Args:
        directory: The package; its Dockerfile is `server/Dockerfile`, or else that at its root, as for `openenv build`.
        tag: The image's name.
        base_image: What the image begins with, instead of what the Dockerfile says.
        progress: Gets each line that the engine says.

    Returns `id`, and `bytes`, the size.

    Raises:
        SourceError: The directory is no package, or no engine answers.
        InteropError: The build has failed; the message has the engine's last words.
    """
    dockerfile = _dockerfile(directory)
    docker = engine()
    arguments: Mapping[str, str] = {"BASE_IMAGE": base_image} if base_image is not None else {}
    said: list[str] = []
    try:
        for event in _events(docker, directory, dockerfile, tag, arguments):
            for line in _COLOUR.sub("", str(event.get("stream") or "")).splitlines():
                if line.strip():
                    said.append(line)
                    progress(line)
            if "error" in event:
                why = f"{str(event['error']).strip()}{_last(said)}{_advice(said)}"
                raise InteropError(f"the image of {directory} cannot be built: {why}")
        image = docker.images.get(tag)
    finally:
        docker.close()
    return {"id": image.id, "bytes": image.attrs["Size"]}


def _dockerfile(directory: Path) -> str:
    found = [name for name in ("server/Dockerfile", "Dockerfile") if (directory / name).is_file()]
    if not found or not (directory / "openenv.yaml").is_file():
        raise SourceError(
            f"{directory} is no package: it has no {'Dockerfile' if not found else 'openenv.yaml'}; "
            f"write one: interop package SOURCE -o {directory}"
        )
    return found[0]


def _events(docker: Any, directory: Path, dockerfile: str, tag: str, arguments: Mapping[str, str]) -> Any:
    from docker.errors import DockerException

    try:
        yield from docker.api.build(
            path=str(directory),
            dockerfile=dockerfile,
            tag=tag,
            buildargs=dict(arguments),
            rm=True,
            forcerm=True,
            decode=True,
        )
    except DockerException as exc:
        raise InteropError(f"the image of {directory} cannot be built: {exc}") from exc


def _last(said: list[str]) -> str:
    """What was said before the engine gave up, as the program shows it: in one line."""
    words = [line for line in said[-_TAIL:] if not line.startswith(("Step ", " --->"))]
    return f"; before that: {' / '.join(words)}" if words else ""


def _advice(said: list[str]) -> str:
    """What to do where the hub is that of a checkout, which no package index has."""
    if not any(f"No matching distribution found for {HUB}" in line for line in said):
        return ""
    return (
        f". No package index has this release of the hub: make a wheel of its checkout, pip wheel --no-deps "
        f"--wheel-dir wheels CHECKOUT, and write the package with --hub wheels/{HUB.replace('-', '_')}-...whl"
    )
