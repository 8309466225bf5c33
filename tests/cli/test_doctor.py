"""`interop doctor`: what works on this machine, and what to type where it does not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from interop import doctor
from interop.cli import main


def examined(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    """The findings by name."""
    assert main(["doctor", "--json"]) == 0
    return {it["name"]: it for it in json.loads(capsys.readouterr().out)["findings"]}


def test_everything_has_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """The hub's own and each converter's; what does not work says what to type."""
    found = examined(capsys)
    assert {"Python", "port", "Docker", "Gymnasium", "uv", "harbor", "namespace sandbox"} <= found.keys()
    assert found["Python"]["works"]
    assert found["Gymnasium"]["works"]
    assert found["namespace sandbox"]["says"] == "started one and ran a command in it"
    assert not found["harbor"]["works"]  # it has an interpreter of its own here
    assert found["harbor"]["fix"] == "pip install 'openenv-interop[harbor]'"
    assert [name for name, it in found.items() if not it["works"] and not it["fix"]] == []


def test_a_port_that_is_taken_is_seen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is a free one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor, "PORT", taken.getsockname()[1])
        port = examined(capsys)["port"]
    assert not port["works"]
    assert "--port 0" in str(port["fix"])


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("test $1 = compose", "it fails"),
        ("echo 'permission denied: /var/run/docker.sock' >&2; exit 1", "permission denied: /var/run/docker.sock"),
        ("sleep 5", "`docker compose` gives no answer"),
        (None, "there is no docker command"),
    ],
)
def test_docker_that_does_not_work_says_why(
    script: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command, no daemon, no permission, no answer."""
    if script is not None:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))
    monkeypatch.setattr(doctor, "TIMEOUT", 1.0)
    found = doctor.docker()
    assert not found.works
    assert says in found.says
    assert found.fix


def test_it_is_a_table_for_people() -> None:
    """One line each where stdout is no terminal."""
    done = subprocess.run([sys.executable, "-m", "interop", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["works", "what", "seen", "what", "to", "do"]
