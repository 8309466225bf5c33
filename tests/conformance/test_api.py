"""`interop.certify`, judging evidence again, and what a run is given."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import interop
from conformance import api
from conformance.broken import COUNTER, QUICK, Healthy
from conformance.broken.wire import serving
from conformance.catalogue import PROFILES
from conformance.errors import ConformanceError, GivenError
from conformance.given import expected_failures, inputs
from conformance.probe import Inputs
from tests.conformance.servers import FAILS, WARNS, broken, evidence, recorded, write


def outcomes(report: Any) -> dict[str, tuple[str, str]]:
    """What was judged, by id."""
    return {it.requirement.id: (it.outcome, it.message) for it in report.results}


def test_a_server_is_certified(tmp_path: Path) -> None:
    """A healthy server is certified, progress is told to the end, and its evidence judged again says the same."""
    told: list[tuple[str, int, int]] = []
    with serving(Healthy()) as running:
        report = api.certify(
            running.url,
            profile="core",
            actions=COUNTER,
            timing=QUICK,
            progress=lambda name, done, total: told.append((name, done, total)),
        )
    assert report.certified
    assert report.ok
    assert isinstance(report, interop.Report)
    assert (report.target, report.profile, report.version) == (running.url, "core", "0.10")
    assert [done for _, done, _ in told] == list(range(1, told[0][2] + 1))
    report.evidence.write(tmp_path)
    again = api.rejudge(tmp_path)
    assert outcomes(again) == outcomes(report)
    assert (again.target, again.profile) == (report.target, report.profile)


def test_a_broken_server_is_not() -> None:
    """`interop.certify` hands everything on, and the report says what is broken."""
    with serving(broken()) as running:
        report = interop.certify(running.url, profile="core", actions=[{"by": 1}], reset={"seed": 1}, jobs=2)
    assert not report.certified
    assert [(it.requirement.id, it.outcome) for it in report.findings] == [(FAILS, "fail"), (WARNS, "warn")]
    assert report.document()["facts"]["inputs"] == {"actions": [{"by": 1}], "reset": {"seed": 1}}


@pytest.mark.parametrize(
    ("expected", "ok", "unexpected", "stale"),
    [
        ({}, False, [FAILS], []),
        ({FAILS: "known"}, True, [], []),
        ({FAILS: "known", WARNS: "known"}, True, [], []),
        ({FAILS: "known", "WS-3": "known"}, False, [], ["WS-3"]),
        ({FAILS: "known", "MCP-9": "of another profile"}, True, [], []),
    ],
)
def test_expected_failures(
    expected: dict[str, str], ok: bool, unexpected: list[str], stale: list[str], tmp_path: Path
) -> None:
    """A report is ok where exactly what is expected fails; what the profile does not judge is not missed."""
    report = api.rejudge(recorded(tmp_path, healthy=False), expected_failures=expected)
    assert report.ok is ok
    assert [it.requirement.id for it in report.unexpected] == unexpected
    assert report.stale == stale


def test_strict_makes_a_should_a_must() -> None:
    """By the profile strict a SHOULD that is not kept is a failure."""
    found = {it.requirement.id: it.outcome for it in api.judge(evidence(healthy=False), profile="strict")}
    assert (found[FAILS], found[WARNS]) == ("fail", "fail")


def test_judging_again_by_another_profile(tmp_path: Path) -> None:
    """Evidence is judged by the profile it was collected for, or by one that needs no more; a report's will do."""
    recorded(tmp_path / "evidence", healthy=True)
    assert api.rejudge(tmp_path).profile == "core"
    assert api.rejudge(tmp_path, profile="core", requirements="0.4").version == "0.4"
    with pytest.raises(ConformanceError, match="was collected for profile core, which is not enough for all"):
        api.rejudge(tmp_path, profile="all")
    with pytest.raises(ConformanceError, match="holds no evidence that can be read"):
        api.rejudge(tmp_path / "nothing")


# What is given


def test_actions_are_read(tmp_path: Path) -> None:
    """Actions are a list, or an object with roles, as values or in a file; arguments of resets are added."""
    roles = {"actions": [{"by": 1}], "slow": {"by": 2}, "reset": {"seed": 1}, "private": ["42"], "idle_timeout": 3}
    known = Inputs(actions=({"by": 1},), slow={"by": 2}, reset={"seed": 1, "a": 2}, private=("42",), idle_timeout=3)
    assert inputs() == Inputs()
    assert inputs([{"by": 1}]) == Inputs(actions=({"by": 1},))
    assert inputs(roles, {"a": 2}) == known
    assert inputs(write(tmp_path / "roles.json", json.dumps(roles)), {"a": 2}) == known
    assert inputs(known) is known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"slow": {}, "fast": {}}', r"FILE: unknown fast; accepted are actions, reset, invalid, rejected, raises, "),
        ('[{"by": 1}, 2]', "FILE: `actions`, number 2 must be an object, not 2"),
        ('{"actions": {"by": 1}}', 'FILE: `actions` must be a list, not {"by": 1}'),
        ('{"slow": [1]}', r"FILE: `slow` must be an object, not \[1\]"),
        ('{"private": [1]}', "FILE: `private`, number 1 must be a text, not 1"),
        ('{"idle_timeout": "3"}', 'FILE: `idle_timeout` must be a number, not "3"'),
        ("3", "FILE must be a list of actions, or an object with some of actions, reset"),
        ('[\n  {"by": 1}\n  {"by": 2}\n]', "FILE is no JSON: line 3, column 3: "),
    ],
)
def test_actions_that_make_no_sense(text: str, message: str, tmp_path: Path) -> None:
    """What is wrong with an actions file is said with the place and what is accepted."""
    path = write(tmp_path / "actions.json", text)
    with pytest.raises(GivenError, match=message.replace("FILE", str(path))):
        inputs(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[expected]\nWS-999 = 'x'", "FILE: there is no requirement WS-999 for openenv 0.10; see interop requirements"),
        ("[expected]\nWS-1 = ' '", "FILE: WS-1 needs a reason, a text that is not empty"),
        ("[expected]\nWS-1 = 1", "FILE: WS-1 needs a reason, a text that is not empty"),
        ("WS-1 = 'x'", r"FILE must have one table, \[expected\]"),
        ("[expected]\n[other]", r"FILE must have one table, \[expected\]"),
        ("[expected]\nWS-1", r"FILE is no TOML: .* \(at .*\)"),
    ],
)
def test_expected_failures_that_make_no_sense(text: str, message: str, tmp_path: Path) -> None:
    """What is wrong with a file of expected failures is said."""
    path = write(tmp_path / "expected.toml", text)
    with pytest.raises(GivenError, match=message.replace("FILE", str(path))):
        expected_failures(path, "0.10")


def test_what_is_never_judged_is_not_expected() -> None:
    """An expected failure of a requirement that no check judges is an error that says why."""
    never = next(it for it in api.select() if it.untestable)
    with pytest.raises(GivenError, match=f"{never.id} is never judged: "):
        expected_failures({never.id: "x"}, "0.10")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, and one that is no text, are errors that name it."""
    with pytest.raises(GivenError, match=r"nothing\.json cannot be read: No such file or directory"):
        inputs(tmp_path / "nothing.json")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(GivenError, match=r"binary.toml is not UTF-8"):
        expected_failures(tmp_path / "binary.toml", "0.10")


def test_nothing_is_started_for_values_that_make_no_sense() -> None:
    """Everything that is given is checked before the target is looked at."""
    for options in ({"profile": "x"}, {"requirements": "9"}, {"actions": 3}, {"expected_failures": {"X-1": "x"}}):
        with pytest.raises(ConformanceError, match=r"accepted|must be|there is no requirement"):
            api.certify("gym:Nothing-v0", **options)


def test_the_documentation_names_every_key() -> None:
    """`docs/conformance.md` has a row for each key of an actions file and for each profile, and its ids are there."""
    text = (Path(__file__).parents[2] / "docs/conformance.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    names = [field.name for field in fields(Inputs)]
    assert [row.split("`")[1] for row in rows[-len(names) :]] == names
    assert all(f"`{profile}`" in text for profile in (*PROFILES, "all"))
    for id in re.findall(r"\b[A-Z]{2,4}-[0-9]+\b", text):
        assert not api.find(id).untestable


# The catalogue


def test_requirements_are_found() -> None:
    """Requirements are chosen by profile and area, and found by id in any case."""
    assert {it.area for it in api.select(area="transport")} == {"transport"}
    assert {it.profile for it in api.select("strict")} == {"core", "strict"}
    assert api.find("ws-1").id == "WS-1"
    assert {it.id for it in api.judged("core")} <= {it.id for it in api.select("core")}
    with pytest.raises(ConformanceError, match="there is no area 'x'; accepted are transport, frames"):
        api.select(area="x")
    with pytest.raises(ConformanceError, match=r"there is no requirement 'X-1' for openenv 0\.10"):
        api.find("X-1")
