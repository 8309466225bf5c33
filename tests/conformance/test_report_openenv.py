"""The report in the official form is read by the official package."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conformance.catalogue import requirements
from conformance.render import openenv
from conformance.report import Report
from conformance.runner import Outcome
from conformance.view import Place
from tests.conformance.reports import hostile_report, report, result

PEER = Path(__file__).parents[2] / ".venv/peers/openenv-0.10.0/bin/python"
READ = """
import json, sys
from openenv.validation.policy import load_policy
from openenv.validation.report import ValidationReportV2
reports = [ValidationReportV2.model_validate(it) for it in json.load(sys.stdin)]
print(json.dumps({
    "verdicts": [it.verdict for it in reports],
    "statuses": [{check.check_id: check.status for check in it.results} for it in reports],
    "policy": [entry.check_id for entry in load_policy("v2").entries],
}))
"""


def read(*reports: Report) -> dict[str, Any]:
    """What the official models make of reports."""
    if not PEER.exists():
        pytest.fail(f"openenv 0.10.0 is not installed in {PEER.parents[1]}: run make peers", pytrace=False)
    sent = json.dumps([openenv.document(it) for it in reports])
    done = subprocess.run([PEER, "-c", READ], input=sent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_official_models_load_it() -> None:
    """Every outcome and every id has a place in the official form, and official checks keep their names."""
    everything = report(*(result(it.id, "pass") for it in requirements()), profile="all")
    mixed = report(
        result("WS-14", "fail", "closed with 1008", Place("session", 6)),
        result("WS-6", "warn"),
        result("WS-21", "untested", "no slow action is known"),
        result("HTTP-2", "not_applicable"),
        result("FRM-23", "pass"),
        result("SEM-15", "warn", "null"),
    )
    answer = read(everything, mixed, hostile_report())
    assert answer["verdicts"] == ["pass", "fail", "fail"]
    assert answer["statuses"][1] == {
        "transport.ws_fourteen": "fail",
        "transport.ws_six": "fail",
        "transport.ws_twenty_one": "skip",
        "runtime.reward_well_formed": "fail",
    }
    own = {openenv.check_id(it) for it in requirements()} - openenv.OFFICIAL.keys()
    policy = set(answer["policy"])
    assert policy.issuperset(openenv.OFFICIAL)
    assert not own & policy


def test_a_check_says_what_it_stands_for() -> None:
    """The ids of requirements, what was seen, where it is recorded and how to fix it are in the official fields."""
    fail = result("WS-14", "fail", "closed with 1008", Place("session"), Place("session", 6))
    (check,) = openenv.document(report(fail))["results"]
    assert check == {
        "check_id": "transport.ws_fourteen",
        "status": "fail",
        "measured": {"requirements": {"WS-14": "fail"}},
        "evidence": [
            f"WS-14 (MUST): {fail.requirement.sentence}",
            "WS-14 seen: closed with 1008",
            "WS-14 recorded: session#6",
        ],
        "remediation": fail.requirement.fix,
        "duration_s": 0.0,
    }


def test_every_requirement_has_one_check_and_the_way_back() -> None:
    """Names are stable words, and each leads back to its requirement."""
    for it in requirements():
        assert it.id in openenv.requirement_ids(openenv.check_id(it))
    own = [it for it in requirements() if openenv.check_id(it) not in openenv.OFFICIAL]
    assert len({openenv.check_id(it) for it in own}) == len(own)
    with pytest.raises(ValueError, match="is not in list"):
        openenv.requirement_ids("transport.ws_many")


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["pass"], "pass"),
        (["pass", "not_applicable"], "pass"),
        (["pass", "warn"], "warn"),
        (["pass", "untested"], "warn"),
        (["pass", "warn", "fail"], "fail"),
        (["untested"], "fail"),
    ],
)
def test_the_verdict_is_by_the_levels(outcomes: list[Outcome], verdict: str) -> None:
    """A failure fails, a warning or what could not be tested warns; what does not apply is not there."""
    ids = ("WS-1", "WS-6", "WS-21")
    document = openenv.document(report(*(result(id, it) for id, it in zip(ids, outcomes, strict=False))))
    assert document["verdict"] == verdict
    assert len(document["results"]) == len(outcomes) - outcomes.count("not_applicable")
