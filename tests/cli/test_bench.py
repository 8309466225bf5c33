"""`interop bench`."""

from __future__ import annotations

import json

import pytest

import interop
from interop.cli import main
from tests.cli.program import run
from tests.environments import source


@pytest.mark.slow  # measures for ten seconds
def test_a_source_is_measured_every_way() -> None:
    """All five ways are measured against in-process, on a server of its own that ends with the command."""
    done = run("bench", "gym:CartPole-v1", "--seconds", "0.1", "--num-envs", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rounds"], document["num_envs"], document["seconds"]) == (5, 2, 0.1)
    names = [way["name"] for way in document["ways"]]
    assert names == [
        "in-process",
        "session, JSON",
        "session, msgpack",
        "vector of 2, one connection",
        "vector of 2, 2 sessions",
    ]
    for way in document["ways"]:
        assert len(way["rounds"]) == 5
        assert 0 < way["min"] <= way["median"] <= way["max"]
        assert way["ratio"] == pytest.approx(way["median"] / document["ways"][0]["median"])


def test_what_a_server_does_not_offer(capsys: pytest.CaptureFixture[str]) -> None:
    """A server without vector messages and with one place is measured as far as it goes, and the table says why."""
    with interop.serve(source(max_sessions=1)) as server:
        assert main(["bench", server.url, "--seconds", "0.05", "--num-envs", "2"]) == 0
    table = capsys.readouterr().out
    assert "session, JSON" in table
    assert "vector" in table
    assert "no free session" in table


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """When the server's process ends at once, its own words are the error."""
    monkeypatch.setenv("OPENENV_MODE", "simulation")
    monkeypatch.setattr("interop.cli.bench.sys.executable", "/bin/false")
    assert main(["bench", "gym:CartPole-v1", "--seconds", "0.05"]) == 1
    assert "error: the server did not start" in capsys.readouterr().err
