"""Each check can fail: a defect makes exactly the requirements it breaks fail, and healthy servers keep all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance.broken import COUNTER, QUICK, healthy, healthy_evidence, judged, load
from conformance.broken.healthy import Healthy
from conformance.broken.wire import Request, Response, serving
from conformance.catalogue import requirements
from conformance.runner import collect, judge

TESTABLE = [it for it in requirements() if not it.untestable]


def _defects() -> list[Any]:
    """All defects; every twentieth is in `make test`, all are in `make test-all`: each takes seconds."""
    return [
        pytest.param(name, marks=() if number % 20 == 0 else pytest.mark.slow) for number, name in enumerate(load())
    ]


@pytest.mark.parametrize("name", healthy())
def test_a_healthy_server_passes_all(name: str) -> None:
    """Nothing is found wrong with a healthy server."""
    results = judge(healthy_evidence(name))
    assert {it.requirement.id: it.message for it in results if it.is_finding} == {}


@pytest.mark.parametrize("name", _defects())
def test_a_defect_breaks_exactly_its_requirements(name: str) -> None:
    """What a defect breaks is found, and nothing else."""
    verdict = judged(name)
    if not verdict.caught:  # the waits are short here, and a machine that is busy elsewhere can make a server look mute
        verdict = judged(name)
    assert (verdict.missed, verdict.extra) == (frozenset(), {})


def test_every_must_and_should_has_a_defect() -> None:
    """No requirement is judged by a check that was never seen to fail. The kill rate is 100 %."""
    named = {id for defect in load().values() for id in defect.ids}
    assert [it.id for it in TESTABLE if it.level != "MAY" and it.id not in named] == []


def test_defects_name_what_is_there() -> None:
    """A defect names requirements that are judged."""
    known = {it.id for it in TESTABLE}
    assert {name: set(it.ids) - known for name, it in load().items() if not it.ids or set(it.ids) - known} == {}


def test_everything_applies_somewhere() -> None:
    """Each requirement is met by some healthy server, rather than applicable to none."""
    passed: set[str] = set()
    for name in healthy():
        passed |= {it.requirement.id for it in judge(healthy_evidence(name)) if it.outcome == "pass"}
    assert [it.id for it in TESTABLE if it.id not in passed] == []


class Prefixed(Healthy):
    """A server behind a path prefix; it has nothing elsewhere."""

    prefix = "/envs/one"

    def upgrade(self, request: Request) -> Response | str | None:
        return super().upgrade(self._inside(request))

    def respond(self, request: Request) -> Response:
        return super().respond(self._inside(request))

    def _inside(self, request: Request) -> Request:
        inside = request.target.startswith(f"{self.prefix}/")
        return replace(request, target=request.target.removeprefix(self.prefix) if inside else "/outside")


def test_a_path_prefix_is_kept() -> None:
    """A server whose address has a path is asked below that path alone."""
    with serving(Prefixed()) as running:
        results = judge(collect(f"{running.url}{Prefixed.prefix}/", inputs=COUNTER, timing=QUICK))
    assert {it.requirement.id: it.message for it in results if it.is_finding} == {}
    assert sum(it.outcome == "pass" for it in results) > 150
