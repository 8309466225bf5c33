"""Writes tasks of harbor whose environment is an OpenEnv environment: with a sidecar, or in a single container."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from converters.harbor.exported import Choices, Exported, file_of
from converters.harbor.survey import survey
from interop.errors import SourceError
from interop.sources import is_url

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*/[a-zA-Z0-9][a-zA-Z0-9._-]*")
"""What harbor accepts (`harbor/constants.py`), beside that `..` is refused."""


def write(
    target: str,
    directory: Path,
    *,
    name: str | None = None,
    tasks: int | None = None,
    seeds: int | None = None,
    split: str | None = None,
    token: str | None = None,
    **choices: Any,
) -> list[str]:
    """Write the tasks into a directory that is empty or not there, each in one of its own.

    Args:
        target: A source, or a server, which must be running.
        directory: Where to.
        name: `NAME` or `ORGANIZATION/NAME`, to which each task adds its split and index or its seed; by default
            that of the environment.
        tasks: Only the first ones of the split.
        seeds: Instead of tasks, the seeds from 0 on.
        split: The split; the first that has tasks if there is none.
        token: The server's bearer token. It is not written: the sidecar takes INTEROP_TOKEN.
        choices: Those of `Choices`.

    Returns the names of the tasks.

    Raises:
        SourceError: The directory is not empty, harbor refuses the name, or there are no such tasks or files.
        ConnectError: No server is there.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SourceError(f"{directory} is there and not empty; name a new directory")
    how = Choices(target=target, **choices)
    _check(how, token)
    _named(name or "environment", "0")  # before the server is asked
    found = survey(target, tasks=tasks, seeds=seeds, split=split, token=token)
    if is_url(target) and found.sessions and how.hub is not None:
        raise SourceError(f"{target} is a server of the hub, so images need none; leave out --hub")
    names = [_named(name or _slug(found.name), start.key) for start in found.starts]
    for full, start in zip(names, found.starts, strict=True):
        Exported(how, found, start, full).write(directory / full.split("/")[1])
    return names


def _check(how: Choices, token: str | None) -> None:
    """Raises `SourceError` for what cannot be written."""
    files = [how.oracle, *map(file_of, filter(None, (how.hub, *how.packages)))]
    for path in filter(None, files):
        if not path.exists():
            raise SourceError(f"{path} is not there")
    for package in how.packages:
        if (file := file_of(package)) is not None and file.is_dir():
            raise SourceError(f"{package} is a directory; make a wheel of it: pip wheel --no-deps {package}")
    if how.hub is not None and (hub := file_of(how.hub)) is not None and hub.is_dir() and not any(hub.glob("*.whl")):
        raise SourceError(f"{hub} has no wheels; make them: pip wheel --wheel-dir {hub} 'openenv-interop[gymnasium]'")
    if is_url(how.target) and how.packages:
        raise SourceError(f"{how.target} has its packages where it runs; leave out --with")
    if how.single and token is not None and is_url(how.target):
        raise SourceError(
            "in a single container the agent would see the server's token; write the task with a sidecar, without "
            "--single-container, or serve without a token where the container alone reaches it"
        )
    target = how.target.partition(":")[2].partition("?")[0]
    if not is_url(how.target) and target and (target.startswith((".", "/")) or Path(target).exists()):
        raise SourceError(
            f"{how.target} is a path of this machine, which images do not have; make a wheel of it, give that by "
            "--with, and name what it installs"
        )


def _named(name: str, key: str) -> str:
    """The name of a task. Raises `SourceError` where harbor refuses it."""
    full = f"{name if '/' in name else f'openenv/{name}'}-{_slug(key)}"
    if not _NAME.fullmatch(full) or ".." in full:
        raise SourceError(
            f"harbor refuses the name {name!r}; accepted is NAME or ORGANIZATION/NAME of letters, digits, '.', '_' and "
            "'-', which begin with a letter or digit; give another one with --name"
        )
    return full


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "environment"
