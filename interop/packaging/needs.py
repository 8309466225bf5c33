"""What an environment needs beside the hub: the distributions that have its modules, as they were played."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions, version

from interop.environment import Description
from interop.errors import SourceError
from interop.packaging.requirements import plain_name

_EXTRAS = {"classic_control": "classic-control", "toy_text": "toy-text", "box2d": "box2d", "mujoco": "mujoco"}
"""Gymnasium's own environments, and the extras that they need, at least to render."""


def needed(source: str, description: Description, given: Sequence[str]) -> list[str]:
    """The requirements that are not among those that were given.

    Raises:
        SourceError: A module is in no distribution, and nothing was given that might have it.
    """
    names = {plain_name(it) for it in given}
    found: dict[str, str] = {}
    for module in _modules(source, description):
        distributions = packages_distributions().get(module.partition(".")[0], [])
        if not distributions and not given:
            raise SourceError(
                f"{source} is in the module {module.partition('.')[0]}, which no installed package has, so that images "
                "do not have it; make a wheel of it and give that by --with"
            )
        for name in distributions[:1]:
            found[name] = f"{name}{_extra(module)}{_release(name)}"
    return [requirement for name, requirement in found.items() if plain_name(name) not in names]


def _modules(source: str, description: Description) -> Iterator[str]:
    """The modules that the environment comes from."""
    converter, _, target = source.partition("?")[0].partition(":")
    if converter == "harbor":
        yield converter
    if converter in ("gym", "openenv") and ":" in target:
        yield target.partition(":")[0]
    entry = ((description.extensions.get("gymnasium") or {}).get("spec") or {}).get("entry_point")
    if isinstance(entry, str):
        yield entry.partition(":")[0]


def _extra(module: str) -> str:
    family = re.match(r"gymnasium\.envs\.(\w+)", module)
    return f"[{_EXTRAS[family[1]]}]" if family and family[1] in _EXTRAS else ""


def _release(name: str) -> str:
    """The release that is here; one that was built here is nowhere else."""
    release = version(name)
    return "" if "+" in release else f"=={release}"
