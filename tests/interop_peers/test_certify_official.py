"""The official server is certified, and what is found is exactly what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import interop
from tests.interop_peers.conftest import HERE, Serve

ROLES = {
    "actions": [{"op": "inc", "delta": 1}],
    "raises": {"op": "raise"},
    "rejected": {"op": "bad_op"},
    "slow": {"op": "sleep", "payload": 2.2},
    "uncarryable": {"op": "obj"},
    "exits": {"op": "exit"},
    "ends": [{"op": "done"}],
}


def test_the_official_server(serve_official: Serve, peer: Callable[[str], Path]) -> None:
    """No MUST is broken, each finding is in the file with its reason, and the file has no stale entry."""
    with serve_official("probe") as url:
        report = interop.certify(url, actions=ROLES, expected_failures=HERE / "expected-openenv-0.10.0.toml")
    assert report.certified, report.findings
    found = {it.requirement.id: it.message for it in report.findings}
    assert {id: found[id] for id in found.keys() - report.expected.keys()} == {}
    assert report.stale == []
    assert report.ok


@pytest.mark.slow  # as the one above, for another environment
def test_the_official_server_of_another_environment(serve_official: Serve) -> None:
    """Nothing is found that depends on the environment of the transcripts alone."""
    with serve_official("cartpole") as url:
        report = interop.certify(url, profile="core")
    assert report.certified, report.findings
    assert {it.requirement.id for it in report.findings} <= {"ERR-21", "ERR-22", "HTTP-17", "HTTP-31", "SEC-2", "SEC-4"}


@pytest.mark.slow
def test_older_official_servers_by_their_revision(serve_official: Serve) -> None:
    """A release of an older revision is certified by what its revision has."""
    for version, requirements in (("0.4.2", "0.4"), ("0.7.0", "0.7")):
        with serve_official("echo", version) as url:
            report = interop.certify(url, profile="core", requirements=requirements)
        assert report.certified, (version, [(it.requirement.id, it.message) for it in report.findings])
