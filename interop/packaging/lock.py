"""What an image installs beside what it names: the releases that the environment was played with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def locked(requirements: Iterable[str], free: Iterable[str] = ()) -> list[str]:
    """`name==release` of all that is installed here for some requirements, by name.

    Args:
        requirements: As in a requirements file; of what is no requirement, such as a path, nothing is known.
        free: Names that are not to be held to the release that is here.

    What was built here, from a path or as a local release, is left out: no index has it.
    """
    left_out = {canonicalize_name(name) for name in free}
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    asked = [*_parsed(requirements)]
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                there = distribution(name)
            except PackageNotFoundError:
                continue
            if name not in left_out and not _is_local(there):
                found[name] = f"{name}=={there.version}"
            needs = _parsed(there.requires or ())
            asked += [it for it in needs if it.marker is None or it.marker.evaluate({"extra": extra})]
    return [found[name] for name in sorted(found)]


def _parsed(requirements: Iterable[str]) -> Iterator[Requirement]:
    for text in requirements:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue


def _is_local(there: Distribution) -> bool:
    return "+" in there.version or there.read_text("direct_url.json") is not None
