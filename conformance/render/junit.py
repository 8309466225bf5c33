"""The report as JUnit XML: an area is a test suite, a requirement a test case."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from conformance.runner import Result
from conformance.text import visible

if TYPE_CHECKING:
    from conformance.report import Report

STALE = "expected"
"""The suite of expected failures that are none now; it is left out where there is none."""


def document(report: Report) -> str:
    """The report as XML. Its failures are what makes a report not `ok`; warnings pass, with their text as output."""
    root = Element("testsuites", name=visible(f"openenv {report.profile} {report.target}"))
    for area, results in report.by_area().items():
        suite = _suite(root, report, area)
        for result in results:
            _case(suite, report, result)
    if report.stale:
        suite = _suite(root, report, STALE)
        for id in report.stale:
            case = SubElement(suite, "testcase", classname=f"openenv.{STALE}", name=visible(id), time="0")
            _say(case, "failure", "it is expected to fail and does not; take it off the list of expected failures")
    for suite in root:
        _count(suite, [suite])
    _count(root, list(root))
    root.set("time", f"{report.evidence.facts.get('seconds') or 0:g}")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(root: Element, report: Report, area: str) -> Element:
    suite = SubElement(root, "testsuite", name=f"openenv.{area}", time="0")
    started = report.evidence.facts.get("started")
    if started:
        suite.set("timestamp", visible(str(started)).removesuffix("Z"))
    given = {"target": report.target, "url": report.evidence.url, "profile": report.profile, "version": report.version}
    _properties(suite, given)
    return suite


def _case(suite: Element, report: Report, result: Result) -> None:
    it = result.requirement
    name = visible(f"{it.id} {it.sentence}")
    case = SubElement(suite, "testcase", classname=f"openenv.{it.area}", name=name, time="0")
    _properties(case, {"level": it.level, "section": it.section, "outcome": result.outcome})
    reason = report.expected.get(it.id)
    match result.outcome:
        case "fail" if reason is not None:
            _say(case, "skipped", f"expected: {reason}", _details(result))
        case "fail":
            _say(case, "failure", result.message, _details(result))
        case "not_applicable" | "untested":
            _say(case, "skipped", f"{result.outcome.replace('_', ' ')}: {result.message}")
        case "warn":
            SubElement(case, "system-out").text = visible(f"warning: {_details(result)}")
        case "pass" if result.message:
            SubElement(case, "system-out").text = visible(result.message)


def _details(result: Result) -> str:
    it = result.requirement
    places = [place.conversation + ("" if place.event is None else f" event {place.event}") for place in result.trail]
    rows = {
        "seen": result.message,
        "fix": it.fix,
        "source": f"docs/protocol.md section {it.section}; {it.source}",
        "recorded": ", ".join(places),
    }
    return "\n".join(f"{key}: {text}" for key, text in rows.items() if text)


def _say(case: Element, kind: str, message: str, text: str = "") -> None:
    said = SubElement(case, kind, message=visible(message))
    if kind == "failure":
        said.set("type", "requirement")
    said.text = visible(text) or None


def _properties(parent: Element, values: dict[str, str]) -> None:
    properties = SubElement(parent, "properties")
    for name, value in values.items():
        SubElement(properties, "property", name=name, value=visible(value))


def _count(element: Element, suites: list[Element]) -> None:
    """Set the numbers of test cases, of those that failed and of those that were skipped."""
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
