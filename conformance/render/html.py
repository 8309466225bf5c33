"""The report as one page that needs nothing beside it: no network, no script to be read, dark and light, printable."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from conformance.catalogue import select
from conformance.excerpt import MAX_TEXT, Excerpt, Line
from conformance.render.template import Html, asset, escape, fill, join, prose
from conformance.runner import Outcome, Result
from conformance.text import plain

if TYPE_CHECKING:
    from conformance.report import Report

MOST_CONVERSATIONS = 12
"""Conversations shown with a finding; the last ones, where the fault is."""
MOST_LINES = 24
"""Lines shown of a conversation, the last ones again."""
MARKS: dict[Outcome, str] = {"fail": "✕", "warn": "!", "pass": "✓", "not_applicable": "–", "untested": "?"}
WORDS: dict[Outcome, str] = {
    "fail": "fail",
    "warn": "warning",
    "pass": "pass",
    "not_applicable": "not applicable",
    "untested": "untested",
}
SIDES = {"C": "client", "S": "server", "": ""}


def document(report: Report) -> str:
    """The report as HTML."""
    style, script = asset("report.css"), asset("report.js")
    page = fill(
        "page.html",
        title=f"{report.target}: {_verdict(report).lower()}",
        style=Html(style),
        style_hash=_hash(style),
        script=Html(script),
        script_hash=_hash(script),
        head=_head(report),
        map=_map(report),
        findings=_findings(report),
        results=_results(report),
        run=_run(report),
    )
    return f"{page}\n"


def _hash(text: str) -> str:
    """What the page's content security policy allows: exactly this."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# The verdict


def _verdict(report: Report) -> str:
    return "Certified" if report.certified else "Not certified"


def _head(report: Report) -> Html:
    facts = report.evidence.facts
    rows = {
        "Profile": report.profile,
        "Requirements": f"OpenEnv {report.version}",
        "Server": report.evidence.url,
        "Date": str(facts.get("started") or "unknown").replace("T", " ").replace("Z", " UTC"),
        "Duration": f"{facts['seconds']:.1f} s" if facts.get("seconds") is not None else "unknown",
    }
    return fill(
        "head.html",
        verdict=_verdict(report),
        outcome="pass" if report.certified else "fail",
        mark=MARKS["pass" if report.certified else "fail"],
        target=report.target,
        summary=_summary(report),
        rows=_terms(rows),
        counts=join(
            fill("count.html", outcome=it, mark=MARKS[it], number=number, word=WORDS[it])
            for it, number in sorted(report.counts.items(), key=lambda row: list(MARKS).index(row[0]))
        ),
        stale=join([fill("stale.html", ids=", ".join(report.stale))] if report.stale else []),
    )


def _summary(report: Report) -> str:
    counts = report.counts
    judged = counts["pass"] + counts["fail"] + counts["warn"]
    if not report.reached:
        return "The server was not reached."
    if not counts["fail"] + counts["warn"]:
        return f"All {judged} requirements that were judged are met."
    levels = [it.requirement.level for it in report.findings]
    missed = [f"{levels.count(level)} {level}" for level in ("MUST", "SHOULD", "MAY") if level in levels]
    expected = counts["fail"] - len(report.unexpected)
    words = f" {expected} of the failures {'is' if expected == 1 else 'are'} expected." if expected else ""
    verb = "is" if len(levels) == 1 else "are"
    return f"{counts['pass']} of {judged} requirements that were judged are met; {', '.join(missed)} {verb} not.{words}"


def _map(report: Report) -> Html:
    """A cell for each requirement."""
    return join(
        fill(
            "area.html",
            area=area,
            met=_met(results),
            cells=join(
                fill(
                    "cell.html",
                    id=it.requirement.id,
                    outcome=it.outcome,
                    mark="" if it.outcome == "pass" else MARKS[it.outcome],
                    title=f"{it.requirement.id} {WORDS[it.outcome]}: {it.requirement.sentence}",
                )
                for it in results
            ),
        )
        for area, results in report.by_area().items()
    )


def _met(results: Sequence[Result]) -> str:
    judged = sum(it.outcome == "pass" or it.is_finding for it in results)
    return f"{sum(it.outcome == 'pass' for it in results)} / {judged}" if judged else "not judged"


# Findings


def _findings(report: Report) -> Html:
    if not report.findings:
        return fill("nothing.html", text="Nothing was found.")
    return join(_finding(report, it) for it in report.findings)


def _finding(report: Report, result: Result) -> Html:
    it = result.requirement
    rows: dict[str, Any] = {
        "To fix": prose(it.fix) if it.fix else "",
        "Expected failure": report.expected.get(it.id, ""),
        "Defined in": f"docs/protocol.md, section {it.section}",
        "Comes from": it.source,
    }
    return fill(
        "finding.html",
        id=it.id,
        area=it.area,
        level=it.level,
        outcome=result.outcome,
        mark=MARKS[result.outcome],
        word=WORDS[result.outcome] + (", expected" if it.id in report.expected else ""),
        sentence=prose(it.sentence),
        message=result.message,
        rows=_terms({key: value for key, value in rows.items() if value}),
        recorded=_recorded(report, report.excerpt(result)),
    )


def _recorded(report: Report, excerpts: Sequence[Excerpt]) -> Html:
    if not excerpts:
        return fill("nothing.html", text="Nothing was recorded for it.")
    files = report.evidence.files()
    shown = [_wire(it, files[it.name]) for it in excerpts[-MOST_CONVERSATIONS:]]
    left = len(excerpts) - len(shown)
    note = [fill("nothing.html", text=f"{left} more are in evidence/.")] if left else []
    return join([*note, *shown])


def _wire(excerpt: Excerpt, file: str) -> Html:
    lines = excerpt.lines[-MOST_LINES:]
    before = len(excerpt.lines) - len(lines)
    rows = [_gap(before + lines[0].skipped if before else 0)]
    for number, line in enumerate(lines):
        if number or not before:
            rows.append(_gap(line.skipped))
        rows.append(_line(line))
    return fill(
        "wire.html",
        name=excerpt.name,
        title=excerpt.title,
        status=excerpt.status or "no answer",
        file=f"evidence/{file}",
        lines=join([*rows, _gap(excerpt.skipped)]),
    )


def _gap(skipped: int) -> Html:
    return fill("gap.html", text=f"{skipped} more") if skipped else Html()


def _line(line: Line) -> Html:
    return fill(
        "line.html",
        at=f"{line.at:.3f} s",
        side=line.side or "·",
        who=SIDES[line.side],
        marked="marked" if line.marked else "context",
        notes=join(_notes(line)),
        head=fill("payload.html", kind="head", text=line.head) if line.head else Html(),
        text=_payload(line),
    )


def _notes(line: Line) -> Iterator[Html]:
    if line.opcode and line.words:
        yield fill("note.html", kind="label", text=line.words)
    if line.opcode not in ("", "http", "text"):
        yield fill("note.html", kind="opcode", text=line.opcode)
    if line.note:
        yield fill("note.html", kind="cut", text=line.note)


def _payload(line: Line) -> Html:
    """What was said; events in words and empty messages stand in angle brackets."""
    if line.opcode and line.text:
        return fill("payload.html", kind="text", text=line.text)
    if line.head:
        return Html()
    return fill("payload.html", kind="event", text="<empty>" if line.opcode else f"<{line.words}>")


# All results, and the run


def _results(report: Report) -> Html:
    found = {it.requirement.id for it in report.findings}
    return join(
        fill(
            "results.html",
            area=area,
            rows=join(_row(it, is_finding=it.requirement.id in found) for it in results),
        )
        for area, results in report.by_area().items()
    )


def _row(result: Result, *, is_finding: bool) -> Html:
    it = result.requirement
    return fill(
        "row.html",
        id=it.id,
        anchor=f"row-{it.id}" if is_finding else it.id,
        area=it.area,
        level=it.level,
        outcome=result.outcome,
        mark=MARKS[result.outcome],
        word=WORDS[result.outcome],
        sentence=prose(it.sentence),
        message=fill("message.html", text=result.message) if result.message else Html(),
        section=it.section,
    )


def _run(report: Report) -> Html:
    rows = {key: _fact(it) for key, it in report.facts.items() if it is not None and key not in ("started", "seconds")}
    rows["conversations"] = len(report.evidence.conversations)
    unjudged = {it.id: prose(it.untestable) for it in select(report.profile, report.version) if it.untestable}
    return fill(
        "run.html",
        facts=_terms(rows),
        unjudged=join([fill("unjudged.html", rows=_terms(unjudged))] if unjudged else []),
        tool=report.document()["tool"]["version"],
    )


def _fact(value: Any) -> Any:
    """A value; the items of a collection one a line."""
    match value:
        case dict():
            lines = [f"{key}: {_json(it)}" for key, it in value.items()]
        case list():
            lines = [_json(it) for it in value]
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return value
    return fill("payload.html", kind="text", text=_cut("\n".join(lines)) or "none")


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… and {len(text) - MAX_TEXT:,} characters more"


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _terms(rows: dict[str, Any]) -> Html:
    return join(fill("term.html", term=term, text=escape(text)) for term, text in rows.items())
