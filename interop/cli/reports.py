"""A report as a person reads it: areas, findings, what was not judged, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from interop.cli import output
from interop.suite import Report, Result

_OUTCOMES = ("pass", "fail", "warn", "not_applicable", "untested")
_COLUMNS = ["area", ">pass", ">fail", ">warn", ">n.a.", ">untested"]
_STYLES = {"fail": "bold red", "warn": "bold yellow", "stale": "bold red"}


def show(report: Report, directory: Path | None) -> None:
    """Print a report; `directory` is where it was written to."""
    title = f"{report.target}: openenv {report.version}, profile {report.profile}"
    output.write_table(_COLUMNS, _areas(report), title=title)
    for result in report.findings:
        output.write("")
        for label, text in _finding(report, result):
            output.write_entry(label, text, _STYLES.get(label, "dim"))
    output.write("")
    for outcome in ("not_applicable", "untested"):
        for why, ids in _reasons(report.results, outcome):
            output.write_entry(outcome.replace("_", " "), f"{', '.join(ids)}: {why}", "dim")
    for id in report.stale:
        output.write_entry("stale", f"{id} is no finding now: take it out of the expected failures", _STYLES["stale"])
    place = f"; the report is {directory / 'report.html'}" if directory else ""
    output.write_entry("verdict", _verdict(report) + place, "bold green" if report.ok else "bold red")


def _areas(report: Report) -> Iterator[list[str]]:
    counts: dict[str, Counter[str]] = {}
    for result in report.results:
        counts.setdefault(result.requirement.area, Counter())[result.outcome] += 1
    for area, count in (*counts.items(), ("all", sum(counts.values(), Counter()))):
        yield [area, *(str(count[outcome] or "") for outcome in _OUTCOMES)]


def _finding(report: Report, result: Result) -> Iterator[tuple[str, str]]:
    it = result.requirement
    yield result.outcome, f"{it.id} {it.level}: {it.sentence}"
    yield "seen", result.message
    if it.fix:
        yield "fix", it.fix
    if reason := report.expected.get(it.id):
        yield "expected", reason


def _reasons(results: Iterable[Result], outcome: str) -> Iterable[tuple[str, list[str]]]:
    """The ids of an outcome by what was said of them."""
    found: dict[str, list[str]] = {}
    for result in results:
        if result.outcome == outcome:
            found.setdefault(result.message, []).append(result.requirement.id)
    return found.items()


def _verdict(report: Report) -> str:
    by = f"the requirements of openenv {report.version}, profile {report.profile}"
    counts = report.counts
    if report.certified:
        warned = f"{counts['warn']} warning{'' if counts['warn'] == 1 else 's'}"
        good = (
            f"certified: {report.target} meets {by} ({counts['pass']} passed, {warned}, {counts['untested']} untested)"
        )
        return good if report.ok else f"{good}, but not as expected"
    if not counts["fail"]:
        return f"not certified: nothing of {by} could be judged"
    failed = f"not certified: {report.target} misses {counts['fail']} of {by}"
    if report.ok:
        return f"{failed}, exactly as expected"
    return f"{failed}, {len(report.unexpected)} of them unexpected" if report.expected else failed
