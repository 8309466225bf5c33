"""The doors to the suite: `certify` talks to a server and judges it, `rejudge` judges recorded evidence again.

Everything else that the command line needs is reached through here, by the entry point group `interop.conformance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from conformance import catalogue, checks, scenarios
from conformance.catalogue import NEWEST, Requirement
from conformance.errors import ConformanceError, GivenError, StartError, TargetError
from conformance.evidence import Evidence, EvidenceError
from conformance.given import expected_failures as read_expected
from conformance.given import inputs, json_text
from conformance.recorder import Timing
from conformance.report import Report
from conformance.runner import Progress, collect, judge
from conformance.targets import target as serve

__all__ = [
    "NEWEST",
    "ConformanceError",
    "GivenError",
    "StartError",
    "TargetError",
    "certify",
    "find",
    "json_text",
    "judged",
    "rejudge",
    "rendered",
    "select",
]


def certify(
    target: str | Path,
    *,
    profile: str = "all",
    requirements: str = NEWEST,
    # What is known of the environment
    actions: Any = None,
    reset: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | str | Path | None = None,
    # How to reach it
    token: str | None = None,
    python: str | None = None,
    jobs: int = 4,
    timing: Timing | None = None,
    progress: Progress | None = None,
) -> Report:
    """Talk to a server, and judge what it said by the requirements.

    Args:
        target: A URL, a source such as `gym:CartPole-v1`, `docker:IMAGE`, or a directory with an `openenv.yaml`; all
            but a URL are served for this.
        profile: `core`, `mcp`, `tasks`, `gymnasium`, `strict`, or `all`.
        requirements: The release of openenv whose protocol is required.
        actions: A list of valid actions, a mapping with fields of `conformance.probe.Inputs`, the path of a JSON file
            with one of the two, or None to derive them from the action schema.
        reset: Arguments of every reset.
        expected_failures: A mapping of ids to reasons, or the path of a TOML file with a table `[expected]`.
        token: The bearer token of the server.
        python: The Python that serves a source or a directory.
        jobs: Sessions used at a time, where the server allows as many.
        timing: How long to wait.
        progress: Told the name of what was done, how much is done, and how much there is.

    Raises:
        ConformanceError: A name, file or value makes no sense, nothing listens there, or it does not start.
    """
    expected = _expected(expected_failures, profile, requirements)
    known = inputs(actions, reset)
    with serve(str(target), python=python, token=token) as served:
        evidence = collect(
            served.url,
            profile=profile,
            inputs=known,
            token=token,
            timing=timing,
            jobs=jobs,
            package=served.package,
            stop=served.stop,
            progress=progress,
        )
    evidence.facts.update(target=served.name, profile=profile)
    return _report(evidence, served.name, profile, requirements, expected)


def rejudge(
    evidence: str | Path,
    *,
    profile: str | None = None,
    requirements: str = NEWEST,
    expected_failures: Mapping[str, str] | str | Path | None = None,
) -> Report:
    """Judge recorded evidence again, without the server.

    Args:
        evidence: A directory with evidence, or a report's directory that has it.
        profile: As for `certify`; that of the run if None.
        requirements: As for `certify`.
        expected_failures: As for `certify`.

    Raises:
        ConformanceError: There is no evidence, or it was collected for another profile.
    """
    path = Path(evidence)
    found = Evidence.read(path / "evidence" if (path / "evidence").is_dir() else path)
    collected = str(found.facts.get("profile", "all"))
    asked = profile or collected
    expected = _expected(expected_failures, asked, requirements)
    if not _covers(collected, asked):
        raise EvidenceError(f"{path} was collected for profile {collected}, which is not enough for {asked}")
    return _report(found, str(found.facts.get("target", found.url)), asked, requirements, expected)


# The catalogue


def select(profile: str = "all", requirements: str = NEWEST, area: str | None = None) -> tuple[Requirement, ...]:
    """The requirements of a profile, perhaps of one area. Raises `CatalogueError`."""
    if area is not None and area not in catalogue.AREAS:
        accepted = ", ".join(catalogue.AREAS)
        raise catalogue.CatalogueError(f"there is no area {area!r}; accepted are {accepted}")
    return tuple(it for it in catalogue.select(profile, requirements) if area in (None, it.area))


def find(id: str, requirements: str = NEWEST) -> Requirement:
    """The requirement of an id. Raises `CatalogueError`."""
    for it in catalogue.requirements(requirements):
        if it.id == id.upper():
            return it
    raise catalogue.CatalogueError(
        f"there is no requirement {id!r} for openenv {requirements}; see interop requirements"
    )


def judged(profile: str = "all", requirements: str = NEWEST) -> tuple[Requirement, ...]:
    """The requirements of a profile that are judged. Raises `CatalogueError`."""
    known = checks.load()
    return tuple(it for it in select(profile, requirements) if it.id in known)


def rendered(report: Report, format: str) -> Any:
    """A report in the format of another tool: `openenv` is a document of JSON, `junit` a text of XML."""
    return import_module(f"conformance.render.{format}").document(report)


# Inside


def _expected(given: Any, profile: str, version: str) -> dict[str, str]:
    ids = {it.id for it in catalogue.select(profile, version)}  # what is not judged cannot be missed
    return {id: reason for id, reason in read_expected(given, version).items() if id in ids}


def _report(evidence: Evidence, target: str, profile: str, version: str, expected: Mapping[str, str]) -> Report:
    results = tuple(judge(evidence, profile=profile, version=version))
    return Report(target, profile, version, evidence, results, expected)


def _covers(collected: str, asked: str) -> bool:
    """Whether everything was said that a profile needs."""
    return collected == "all" or all(collected in it for it in _profiles(asked))


def _profiles(asked: str) -> Iterable[frozenset[str]]:
    return (it.profiles for it in scenarios.load().values() if asked == "all" or asked in it.profiles)
