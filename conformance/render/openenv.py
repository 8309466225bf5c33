"""The report in the form of OpenEnv's own validator (RFC 008, report version 2), for tools that read those.

An official check stands for the requirements that say the same. Every other requirement is a check of its own, named by
its area and its id in words: `WS-14` is `transport.ws_fourteen`. The ids are in `measured` as they are. The official
severity policy knows the official checks alone, so the verdict is by the levels of the requirements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from conformance.catalogue import Requirement
from conformance.runner import Result
from conformance.text import plain

if TYPE_CHECKING:
    from conformance.report import Report

OFFICIAL = {
    "runtime.observation_schema": ("FRM-16", "FRM-22", "FRM-24", "SEM-16", "SEM-17"),
    "runtime.reward_well_formed": ("FRM-23", "SEM-15"),
    "runtime.state_contract": ("FRM-17", "SEM-3", "SEM-5"),
}
"""Official checks, and the requirements that say the same. The range of rewards is declared to the validator alone."""
_OWNER = {id: check for check, ids in OFFICIAL.items() for id in ids}

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = [*_ONES, *(f"{ten}_{one}" if one != "zero" else ten for ten in _TENS for one in _ONES[:10])]


def document(report: Report) -> dict[str, Any]:
    """The report as JSON. What does not apply to the server is left out, as the official validator does."""
    results = _results(report.results)
    clean = all(it["status"] == "pass" for it in results)
    document = {
        "report_schema_version": "2",
        "target": report.target,
        "source_digest": "",  # of a package, which a running server does not show
        "signature": "openenv.yaml",
        "manifest": None,
        "policy_version": f"openenv-interop/{report.version}/{report.profile}",
        "lane": "local",
        "levels_run": [2],
        "results": results,
        "verdict": "fail" if not report.certified else "pass" if clean else "warn",
    }
    return dict(plain(document))


def check_id(requirement: Requirement) -> str:
    """The check that a requirement is judged by, or is."""
    return _OWNER.get(requirement.id) or f"{requirement.area}.{_in_words(requirement.id)}"


def requirement_ids(check: str) -> tuple[str, ...]:
    """The requirements that a check stands for: the inverse of `check_id`. Raises `ValueError`."""
    if check in OFFICIAL:
        return OFFICIAL[check]
    prefix, _, number = check.partition(".")[2].partition("_")
    return (f"{prefix.upper()}-{_WORDS.index(number)}",)


def _in_words(id: str) -> str:
    prefix, _, number = id.partition("-")
    return f"{prefix.lower()}_{_WORDS[int(number)]}"


def _results(results: Iterable[Result]) -> list[dict[str, Any]]:
    checks: dict[str, list[Result]] = {}
    for it in results:
        if it.outcome != "not_applicable":
            checks.setdefault(check_id(it.requirement), []).append(it)
    return [_result(check, its) for check, its in checks.items()]


def _result(check: str, results: Sequence[Result]) -> dict[str, Any]:
    findings = [it for it in results if it.is_finding]
    untested = any(it.outcome == "untested" for it in results)
    fixes = [it.requirement.fix for it in findings if it.requirement.fix]
    return {
        "check_id": check,
        "status": "fail" if findings else "skip" if untested else "pass",
        "measured": {"requirements": {it.requirement.id: it.outcome for it in results}},
        "evidence": [line for it in results for line in _lines(it)],
        "remediation": " ".join(fixes) or None,
        "duration_s": 0.0,
    }


def _lines(result: Result) -> list[str]:
    it = result.requirement
    lines = [f"{it.id} ({it.level}): {it.sentence}"]
    if result.message:
        lines.append(f"{it.id} seen: {result.message}")
    if result.is_finding:
        places = [f"{place.conversation}#{place.event}" for place in result.trail if place.event is not None]
        lines.append(f"{it.id} recorded: {', '.join(places or [place.conversation for place in result.trail])}")
    return lines
