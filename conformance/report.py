"""The report on one server: what was judged, what was found, and the evidence of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, get_args

from conformance.catalogue import AREAS, select
from conformance.evidence import Evidence
from conformance.excerpt import Excerpt, excerpts
from conformance.redact import hide, redacted, tokens
from conformance.render import badge, html, junit
from conformance.runner import Outcome, Result
from conformance.text import plain

FORMAT = "openenv-certificate/1"
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Report:
    """The verdict on a server by the requirements of a profile. Tokens that were sent to the server are not in it.

    Attributes:
        target: What was certified, as its user names it.
        profile: Whose requirements were judged.
        version: The release of openenv whose requirements they are.
        evidence: What the results rest on.
        results: One for each requirement that was judged, in the order of the specification.
        expected: Requirements that are known not to be met, with reasons.
    """

    target: str
    profile: str
    version: str
    evidence: Evidence
    results: tuple[Result, ...]
    expected: Mapping[str, str]

    def __post_init__(self) -> None:
        hidden = tokens(self.evidence)
        results = tuple(replace(it, message=hide(it.message, hidden)) for it in self.results)
        object.__setattr__(self, "results", results)
        object.__setattr__(self, "target", hide(self.target, hidden))
        object.__setattr__(self, "evidence", redacted(self.evidence))

    # The verdict

    @property
    def reached(self) -> bool:
        """Whether the server answered anything at all."""
        return any(it.status for it in self.evidence.conversations.values())

    @property
    def certified(self) -> bool:
        """Whether the server was reached, and no requirement that makes a certificate fails."""
        return self.reached and self.counts["pass"] > 0 and self.counts["fail"] == 0

    @property
    def ok(self) -> bool:
        """Whether nothing is as it should not be: certified, or not certified exactly as expected."""
        return not self.stale and (self.certified or (self.counts["fail"] > 0 and not self.unexpected))

    @cached_property
    def findings(self) -> list[Result]:
        """What is not met: failures, then warnings."""
        return sorted((it for it in self.results if it.is_finding), key=lambda it: it.outcome != "fail")

    @property
    def unexpected(self) -> list[Result]:
        """The failures that are not expected."""
        return [it for it in self.findings if it.outcome == "fail" and it.requirement.id not in self.expected]

    @property
    def stale(self) -> list[str]:
        """The expected ids that are no findings now, unknown ones included."""
        found = {it.requirement.id for it in self.findings}
        return [id for id in self.expected if id not in found]

    @cached_property
    def counts(self) -> dict[Outcome, int]:
        """How many requirements have each outcome."""
        return count(self.results)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the run, without what the run was told that nobody may see."""
        facts = dict(self.evidence.facts)
        if isinstance(facts.get("inputs"), dict):
            facts["inputs"] = {key: it for key, it in facts["inputs"].items() if key != "private"}
        return facts

    def by_area(self) -> dict[str, list[Result]]:
        """The results of each area that has some."""
        areas: dict[str, list[Result]] = {area: [] for area in AREAS}
        for it in self.results:
            areas.setdefault(it.requirement.area, []).append(it)
        return {area: results for area, results in areas.items() if results}

    # What it shows

    def excerpt(self, result: Result, before: int = 1, after: int = 1) -> list[Excerpt]:
        """What a check looked at, with that many events before and after each."""
        return excerpts(self.evidence, result.trail, before, after)

    def document(self) -> dict[str, Any]:
        """The report as JSON, of the form `schemas/report-1.json`."""
        document = {
            "format": FORMAT,
            "tool": {"name": "openenv-interop", "version": installed("openenv-interop")},
            "target": self.target,
            "url": self.evidence.url,
            "profile": self.profile,
            "version": self.version,
            "started": self.evidence.facts.get("started"),
            "seconds": self.evidence.facts.get("seconds"),
            "certified": self.certified,
            "ok": self.ok,
            "counts": self.counts,
            "areas": {area: count(results) for area, results in self.by_area().items()},
            "results": [_row(it) for it in self.results],
            "unjudged": {it.id: it.untestable for it in select(self.profile, self.version) if it.untestable},
            "expected": dict(self.expected),
            "unexpected": [it.requirement.id for it in self.unexpected],
            "stale": self.stale,
            "facts": self.facts,
        }
        return dict(plain(document))

    def write(self, directory: Path) -> list[Path]:
        """Write it into a directory, in all forms and with the evidence, and return the paths."""
        directory.mkdir(parents=True, exist_ok=True)
        texts = {
            "report.json": json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n",
            "report.xml": junit.document(self),
            "report.html": html.document(self),
            "badge.svg": badge.document(self),
        }
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
        self.evidence.write(directory / "evidence")
        return [directory / name for name in (*texts, "evidence")]


def count(results: Iterable[Result]) -> dict[Outcome, int]:
    """How many results have each outcome, those without one included."""
    found = Counter(it.outcome for it in results)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def _row(result: Result) -> dict[str, Any]:
    it = result.requirement
    return {
        "id": it.id,
        "area": it.area,
        "level": it.level,
        "outcome": result.outcome,
        "sentence": it.sentence,
        "section": it.section,
        "source": it.source,
        "fix": it.fix,
        "message": result.message,
        "trail": [{"conversation": place.conversation, "event": place.event} for place in result.trail],
    }
