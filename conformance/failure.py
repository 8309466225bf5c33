"""A result in words, for pytest: what was seen instead, how to mend it, and the frames that show it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.excerpt import Excerpt, Line
from conformance.report import Report
from conformance.runner import Result
from conformance.text import visible

MOST_CONVERSATIONS = 4
MAX_LINE = 300
"""Characters of a line of recorded text."""


def brief(result: Result) -> str:
    """A finding in three lines: the sentence, what was seen, and how to mend it."""
    it = result.requirement
    lines = [f"{it.id} {it.level}: {it.sentence}", f"seen: {result.message}"]
    return visible("\n".join([*lines, f"fix: {it.fix}"] if it.fix else lines))


def text(report: Report, result: Result) -> str:
    """Everything about a finding: what is brief, the source, and the frames."""
    it = result.requirement
    lines = [brief(result), f"source: docs/protocol.md section {it.section}; {it.source}"]
    excerpts = report.excerpt(result)
    for excerpt in excerpts[:MOST_CONVERSATIONS]:
        lines += ["", *_conversation(excerpt)]
    if (more := len(excerpts) - MOST_CONVERSATIONS) > 0:
        lines += ["", f"and {more} more conversations"]
    return "\n".join(map(visible, lines))


def _conversation(excerpt: Excerpt) -> Iterator[str]:
    yield f"recorded as `{excerpt.name}`: {excerpt.title}, answered {excerpt.status or 'not at all'}"
    for line in excerpt.lines:
        if line.skipped:
            yield f"         ... {line.skipped} more"
        yield from _line(line)
    if excerpt.skipped:
        yield f"         ... {excerpt.skipped} more"


def _line(line: Line) -> Iterator[str]:
    mark = ">" if line.marked else " "
    label = f"[{line.words}] " if line.words and line.text else line.words
    first, *rest = (f"{label}{line.head or line.text}" or line.opcode).split("\n")
    note = f" ({line.note})" if line.note else ""
    yield f"{mark}{line.at:7.3f} {line.side or ' '} {_cut(first)}{note}"
    # Of HTTP the start line says enough; a dump of bytes has several lines.
    for more in [line.text] if line.head and line.text else [] if line.head else rest:
        yield f"{'':11}{_cut(more)}"


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"
