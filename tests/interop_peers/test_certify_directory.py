"""A directory that `openenv init` makes is certified as it stands, served by the official package."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from interop.cli import main
from tests.cli.program import run


@pytest.fixture(scope="module")
def package(peer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages")
    subprocess.run([peer().with_name("openenv"), "init", "alpha_env"], cwd=directory, check=True, capture_output=True)
    return directory / "alpha_env"


def test_an_official_package_is_certified(package: Path, peer: Callable[..., Path]) -> None:
    """It meets every MUST; its files are judged, and that it closes its sessions when it is stopped."""
    done = run("certify", package, "--profile", "core", "--python", peer(), "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    document = json.loads(done.stdout)
    assert (document["target"], document["certified"]) == ("alpha_env", True)
    outcomes = {it["id"]: it["outcome"] for it in document["results"]}
    assert outcomes["WS-26"] == "pass"
    assert {outcomes[f"PKG-{number}"] for number in range(1, 12)} == {"pass"}


def test_a_python_without_openenv(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where openenv is missing the error says how to name a Python that has it."""
    assert main(["certify", str(package)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert error.endswith("has no module openenv; name a Python that has: --python PATH")
