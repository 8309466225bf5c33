"""`interop export --to harbor`: environments as harbor tasks, played and graded by harbor itself, and attacked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interop
from interop.cli import main
from interop.server import Server
from tests.harbor.sidecars import Sidecar, run_sidecar
from tests.interop_peers.conftest import HERE, ROOT, Serve

LAKE = "gym:FrozenLake-v1?is_slippery=false"
ORACLE = """\
from openenv_mcp import Tools

tools = Tools()
DOWN, RIGHT = 1, 2
for move in (DOWN, DOWN, RIGHT, DOWN, RIGHT, RIGHT):
    print(tools.call("act", action=move))
"""
SOLVED = {"reward": 1.0, "return": 1.0, "steps": 6, "done": 1}
NOTHING = {"reward": 0.0, "return": 0.0, "steps": 0, "done": 0}

Trials = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def python(peer: Callable[..., Path]) -> Path:
    """An interpreter with harbor and the hub."""
    return peer("0.26.0", "harbor")


@pytest.fixture(scope="module")
def trials(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """Trials of a task with agents, in one of harbor's environments."""

    def run(task: Path, *agents: str, environment: str = "converters.harbor:NamespaceEnvironment", **env: str) -> Any:
        done = subprocess.run(
            [python, HERE / "harbor_trials.py", environment, task, tmp_path_factory.mktemp("trials"), *agents],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **env},
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    return run


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("oracle") / "lake.py"
    path.write_text(ORACLE)
    return path


@pytest.fixture
def lake() -> Iterator[Server]:
    """A server that containers reach: at an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing
        host = sock.getsockname()[0]
    with interop.serve(LAKE, host=host) as server:
        yield server


def export(target: str, directory: Path, *options: str | Path) -> Path:
    """The first task of an export."""
    assert main(["export", target, "--to", "harbor", "-o", str(directory), *map(str, options)]) == 0
    return sorted(directory.iterdir())[0]


def judge(played: dict[str, Any], expected: dict[str, Any]) -> None:
    """A trial has these rewards, and an attack found nothing."""
    assert (played["exception"], played["rewards"]) == (None, expected), played
    if played["agent"] == "attack":
        said = json.loads(played["said"])
        assert said["doors"]
        assert said["breaches"] == []


@pytest.mark.slow  # and it needs slirp4netns, by which the sandbox reaches the server
def test_a_single_container_without_docker(trials: Trials, oracle: Path, lake: Server, tmp_path: Path) -> None:
    """The oracle is rewarded, who does nothing is not, and neither is who attacks; no session is left at the server."""
    task = export(lake.url, tmp_path / "tasks", "--single-container", "--oracle", oracle)
    solved, nothing, attacked = trials(task, "oracle", "nop", "attack")
    judge(solved, SOLVED)
    judge(nothing, NOTHING)
    judge(attacked, NOTHING)
    assert lake.active_sessions == 0


def test_harbor_takes_both_shapes(python: Path, tmp_path: Path) -> None:
    """They are valid for harbor, and its linter finds nothing but that a single container shares its verifier."""
    tasks = [export(LAKE, tmp_path / "a"), export(LAKE, tmp_path / "b", "--single-container")]
    code = "import sys; from harbor.models.task.task import Task; print([Task.is_valid_dir(it) for it in sys.argv[1:]])"
    assert subprocess.check_output([python, "-c", code, *tasks], text=True).strip() == "[True, True]"
    lint = subprocess.run(
        [python.parent / "harbor", "lint", "--json", *tasks], capture_output=True, text=True, check=False
    )
    found = {(it["rule"], Path(it["path"]).name) for it in json.loads(lint.stdout)}
    # It asks Docker Compose, where that is, by an option that older releases do not know.
    assert found - {("invalid-task-config", "docker-compose.yaml")} == {("shared-verifier", "task.toml")}


@pytest.mark.slow  # servers that import much
def test_any_server_gets_the_doors(serve_official: Serve, tmp_path: Path) -> None:
    """A server of the official package is played through the sidecar: its tools, a result, and nothing beside."""
    with serve_official("mcp_env:app") as url:
        task = export(url, tmp_path / "tasks", "--seeds", "1", "--name", "tools")
        assert "- `add(a: integer, b: integer)` Add two integers." in (task / "instruction.md").read_text()
        serve = json.loads((task / "environment/openenv/episode.json").read_text())["serve"]
        assert serve[1:] == ["-m", "converters.harbor.remote"]
        with run_sidecar(tmp_path, {"seed": 0}, serve=[sys.executable, *serve[1:]], OPENENV_URL=url) as sidecar:
            tools = sidecar.tools()
            assert "add" in {tool["name"] for tool in tools.list()}
            assert tools.call("add", a=2, b=3) == {"result": 5}
            assert tools.call("bump") == {"count": 1}
            result = _collected(sidecar)
    assert (result["steps"], result["done"]) == (2, False)


def _collected(sidecar: Sidecar) -> Any:
    sidecar.run("collect")
    return json.loads((sidecar.state / "result.json").read_text())


# Docker


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub and all that it needs, for the Python of the base image."""
    directory = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", directory, ROOT], check=True)
    (hub,) = directory.iterdir()
    there = ["--python-version", "3.13", "--only-binary", ":all:", "--dest", str(directory)]
    subprocess.run([*pip, "download", *there, f"{hub}[gymnasium]"], check=True)
    return directory


@pytest.mark.docker
@pytest.mark.slow  # images are built
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", [(), ("--single-container",)], ids=["sidecar", "single"])
def test_a_source_is_served_in_docker(
    trials: Trials, oracle: Path, wheels: Path, tmp_path: Path, shape: tuple[str, ...]
) -> None:
    """The same in containers that have the environment themselves, installed without a network."""
    task = export(LAKE, tmp_path / "tasks", "--hub", wheels, "--oracle", oracle, *shape)
    solved, nothing, attacked = trials(task, "oracle", "nop", "attack", environment="docker")
    judge(solved, SOLVED)
    judge(nothing, NOTHING)
    judge(attacked, NOTHING)


@pytest.mark.docker
@pytest.mark.slow  # images are built
@pytest.mark.timeout(600)
def test_a_server_elsewhere_with_a_token(
    trials: Trials, oracle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sidecar has the token of the server, which listens on this machine, and the agent has not."""
    monkeypatch.setenv("INTEROP_TOKEN", "opal-heron-17")
    with interop.serve(LAKE, host="0.0.0.0", token="opal-heron-17") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        task = export(url, tmp_path / "tasks", "--oracle", oracle)
        assert not any("opal-heron" in path.read_text() for path in task.rglob("*") if path.is_file())
        solved, attacked = trials(task, "oracle", "attack", environment="docker")
        assert server.active_sessions == 0
    judge(solved, SOLVED)
    judge(attacked, NOTHING)
