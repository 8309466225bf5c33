"""The catalogue of requirements, data in `requirements/*.toml`: one for each numbered sentence on servers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from conformance.errors import ConformanceError

Level = Literal["MUST", "SHOULD", "MAY"]
PROFILES = ("core", "mcp", "tasks", "gymnasium", "strict")
"""A requirement belongs to one; `strict` also turns SHOULD into MUST, `all` is all of them."""
AREAS = (
    "transport", "frames", "errors", "sessions", "encoding", "http", "tasks", "mcp", "semantics", "gymnasium",
    "security", "packaging",
)  # fmt: skip
VERSIONS = {
    "0.2.0": 1, "0.2.1": 2, "0.2": 2, "0.3": 3, "0.4": 4, "0.5": 5, "0.6": 5, "0.7": 6, "0.8": 7, "0.9": 7, "0.10": 7,
}  # fmt: skip
"""Releases of openenv and the protocol revision that each speaks (`docs/protocol.md`, section 2)."""
NEWEST = "0.10"


class CatalogueError(ConformanceError):
    """A version, profile or id that the catalogue does not have."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One sentence a server must meet.

    Attributes:
        id: Stable, that of the sentence in `docs/protocol.md`.
        area: One of `AREAS`.
        level: `MUST` and `SHOULD` stand for their negations too; the sentence says which.
        sentence: As in `docs/protocol.md`.
        section: Where it stands there.
        source: Where it comes from: what the official package does, an RFC, the MCP specification, this project.
        since: The protocol revision since which it holds, 1 to 7.
        profile: One of `PROFILES`.
        fix: How to mend a server that breaks it.
        untestable: Why no check judges it from outside; empty where one does.
    """

    id: str
    area: str
    level: Level
    sentence: str
    section: str
    source: str
    since: int
    profile: str
    fix: str = ""
    untestable: str = ""


@cache
def requirements(version: str = NEWEST) -> tuple[Requirement, ...]:
    """The requirements that hold for servers of a release of openenv, in the order of the specification.

    Raises:
        CatalogueError: There is no such release.
    """
    if version not in VERSIONS:
        raise CatalogueError(f"there are no requirements for {version!r}; accepted are {', '.join(VERSIONS)}")
    return tuple(it for it in _all() if it.since <= VERSIONS[version])


def select(profile: str, version: str = NEWEST) -> tuple[Requirement, ...]:
    """The requirements of a profile. `core` is the base of `strict`; `all` is everything.

    Raises:
        CatalogueError: There is no such profile or release.
    """
    if profile not in (*PROFILES, "all"):
        raise CatalogueError(f"there is no profile {profile!r}; accepted are {', '.join((*PROFILES, 'all'))}")
    chosen = {"all": PROFILES, "strict": ("core", "strict")}.get(profile, (profile,))
    return tuple(it for it in requirements(version) if it.profile in chosen)


@cache
def _all() -> tuple[Requirement, ...]:
    found: list[Requirement] = []
    for file in sorted(files("conformance").joinpath("requirements").iterdir(), key=lambda it: it.name):
        if file.name.endswith(".toml"):
            found += [_requirement(row) for row in tomllib.loads(file.read_text(encoding="utf-8"))["requirement"]]
    return tuple(found)


def _requirement(row: dict[str, Any]) -> Requirement:
    return Requirement(**{**row, "since": int(row["since"].removeprefix("P"))})
