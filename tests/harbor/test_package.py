"""The tasks that `interop export --to harbor` writes: their files, their names, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import interop
from converters.harbor.package import write
from converters.harbor.templates.verify import reward
from interop.cli import main
from interop.environment import StepResult, Tasks
from interop.errors import ConnectError, InteropError, SourceError
from interop.server import Server
from tests.environments import source

CARTPOLE = "gym:CartPole-v1"
SIDECAR = {
    "README.md",
    "environment/Dockerfile",
    "environment/docker-compose.yaml",
    "environment/openenv/Dockerfile",
    "environment/openenv/episode.json",
    "environment/openenv/packages/requirements.txt",
    "environment/openenv/sidecar.py",
    "instruction.md",
    "task.toml",
    "tests/Dockerfile",
    "tests/test.sh",
    "tests/verify.py",
}


class Riddles(interop.Environment):
    """Asks the riddle of its task; stepped by calls of tools."""

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        if options.get("index") == 3:
            raise RuntimeError("this one is broken")
        messages = [{"role": "user", "content": f"Riddle {options.get('split')} {options.get('index')}"}]
        return StepResult({"messages": messages, "metadata": {"secret": "the answer"}})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        return StepResult({"tools": [{"name": "say", "input_schema": {"properties": {"it": {"type": "string"}}}}]})

    def state(self) -> Mapping[str, Any]:
        return {"episode_id": None, "step_count": 0}


class RiddleTasks(Tasks):
    """None in the first split, three that begin in the second, and one that does not."""

    def splits(self) -> list[Any]:
        return ["empty", "Train Set"]

    def tasks(self, split: str) -> list[Any]:
        return list(range(self.num_tasks(split)))

    def num_tasks(self, split: str) -> int:
        return 4 if split == "Train Set" else 0

    def task(self, split: str, index: int) -> Any:
        return index

    def task_range(self, split: str, start: int | None, stop: int | None) -> list[Any]:
        return self.tasks(split)[start:stop]


class RiddleSource(interop.Source):
    def describe(self) -> interop.Description:
        return source(
            Riddles, own_tools=True, name='The "Riddles"', description='Has "quotes",\nand $lines.'
        ).describe()

    def create(self) -> interop.Environment:
        return Riddles()

    def tasks(self) -> Tasks:
        return RiddleTasks()


@pytest.fixture(scope="module")
def riddles() -> Iterator[Server]:
    with Server(RiddleSource(), port=0) as server:
        yield server


def files(task: Path) -> set[str]:
    return {str(path.relative_to(task)) for path in task.rglob("*") if path.is_file()}


def config(task: Path) -> dict[str, Any]:
    return tomllib.loads((task / "task.toml").read_text())


# What is written


def test_a_source_in_a_sidecar(tmp_path: Path) -> None:
    """A task for each seed, whose sidecar serves the source; the agent's container has nothing of it."""
    assert write(CARTPOLE, tmp_path / "out", seeds=2) == ["openenv/cartpole-v1-seed-0", "openenv/cartpole-v1-seed-1"]
    task = tmp_path / "out/cartpole-v1-seed-1"
    assert files(task) == SIDECAR
    it = config(task)
    assert it["environment"]["mcp_servers"] == [
        {"name": "openenv", "transport": "streamable-http", "url": "http://openenv:8765/mcp"}
    ]
    assert it["verifier"]["environment_mode"] == "separate"
    assert it["artifacts"] == [{"source": "/var/lib/openenv/result.json", "service": "openenv"}]
    episode = json.loads((task / "environment/openenv/episode.json").read_text())
    assert (episode["reset"], episode["host"]) == ({"seed": 1}, "0.0.0.0")
    assert episode["serve"][:3] == ["/opt/openenv/venv/bin/interop", "serve", CARTPOLE]
    compose = yaml.safe_load((task / "environment/docker-compose.yaml").read_text())
    assert set(compose["services"]["openenv"]) == {"build", "healthcheck"}
    requirements = (task / "environment/openenv/packages/requirements.txt").read_text()
    assert requirements == f"openenv-interop[gymnasium]=={interop.__version__}\n"
    assert "- `act(action: integer 0..1)`" in (task / "instruction.md").read_text()
    assert "seed" not in (task / "instruction.md").read_text()
    assert os.access(task / "tests/test.sh", os.X_OK)


def test_a_server_in_a_sidecar(riddles: Server, tmp_path: Path) -> None:
    """The tasks of the first split that has any; what no tool shows is in the instruction, and nothing private."""
    names = write(riddles.url, tmp_path / "out", tasks=3, name="acme/words", reward="last")
    assert names == [f"acme/words-train-set-{index}" for index in range(3)]
    task = tmp_path / "out/words-train-set-2"
    assert files(task) == SIDECAR - {"environment/openenv/packages/requirements.txt"}
    instruction = (task / "instruction.md").read_text()
    assert "**user**: Riddle Train Set 2" in instruction
    assert "- `say([it: string])`" in instruction
    assert "the answer" not in instruction
    assert config(task)["task"]["description"] == 'Has "quotes",\nand $lines.'
    assert config(task)["metadata"]["reset"] == '{"split": "Train Set", "index": 2}'
    episode = json.loads((task / "environment/openenv/episode.json").read_text())
    assert episode == {"reset": {"split": "Train Set", "index": 2}, "host": "0.0.0.0", "port": 8765}
    openenv = yaml.safe_load((task / "environment/docker-compose.yaml").read_text())["services"]["openenv"]
    # Loopback would be the sidecar's own.
    url = riddles.url.replace("127.0.0.1", "host.docker.internal")
    assert openenv["environment"] == {
        "OPENENV_URL": f"${{OPENENV_URL:-{url}}}",
        "OPENENV_TOKEN": "${INTEROP_TOKEN:-}",
    }
    assert (task / "tests/test.sh").read_text().endswith("/tests/verify.py last\n")


def test_a_single_container(riddles: Server, tmp_path: Path) -> None:
    """The agent is no root, the verifier is, and the door is on loopback."""
    write(riddles.url, tmp_path / "out", seeds=1, single=True)
    task = tmp_path / "out/the-riddles-seed-0"
    assert files(task) == SIDECAR - {
        "environment/docker-compose.yaml",
        "environment/openenv/Dockerfile",
        "environment/openenv/packages/requirements.txt",
        "tests/Dockerfile",
    }
    it = config(task)
    assert (it["agent"]["user"], it["verifier"]["user"]) == ("agent", "root")
    assert it["environment"]["mcp_servers"][0]["url"] == "http://127.0.0.1:8765/mcp"
    assert it["environment"]["env"] == {"OPENENV_URL": f"${{OPENENV_URL:-{riddles.url}}}"}
    assert json.loads((task / "environment/openenv/episode.json").read_text())["host"] == "127.0.0.1"
    assert "weaker" in (task / "README.md").read_text()


@pytest.mark.parametrize("single", [False, True])
def test_what_images_install(tmp_path: Path, single: bool) -> None:
    """A wheel is copied; of a directory of wheels all are, and nothing else is looked at; the rest is a requirement."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("openenv_interop-1-py3-none-any.whl", "numpy-2-any.whl"):
        (wheels / name).touch()
    hub = wheels / "openenv_interop-1-py3-none-any.whl"
    write(CARTPOLE, tmp_path / "a", single=single, hub=str(hub), packages=["box2d>=2", str(wheels / "numpy-2-any.whl")])
    write(CARTPOLE, tmp_path / "b", single=single, hub=str(wheels), packages=["box2d"], base_image="acme/python:3")
    packages = Path("cartpole-v1-seed-0/environment/openenv/packages")
    at = "/opt/openenv/packages"
    assert (tmp_path / "a" / packages / "requirements.txt").read_text().splitlines() == [
        f"{at}/openenv_interop-1-py3-none-any.whl[gymnasium]", "box2d>=2", f"{at}/numpy-2-any.whl",
    ]  # fmt: skip
    assert (tmp_path / "b" / packages / "requirements.txt").read_text().splitlines() == [
        "--no-index", f"--find-links {at}", "openenv-interop[gymnasium]", "box2d",
    ]  # fmt: skip
    for side in "ab":
        copied = {path.name for path in (tmp_path / side / packages).iterdir()}
        assert copied == {"requirements.txt", "openenv_interop-1-py3-none-any.whl", "numpy-2-any.whl"}
    dockerfiles = [*(tmp_path / "b").rglob("Dockerfile")]
    assert len(dockerfiles) == (1 if single else 3)
    assert all(it.read_text().startswith("ARG BASE_IMAGE=acme/python:3\n") for it in dockerfiles)


def test_an_oracle_comes_with_its_client(tmp_path: Path) -> None:
    """The solution runs the file; without one there is no solution."""
    oracle = tmp_path / "mine.py"
    oracle.write_text("print('played')\n")
    write(CARTPOLE, tmp_path / "out", oracle=oracle)
    task = tmp_path / "out/cartpole-v1-seed-0"
    assert files(task) - SIDECAR == {"solution/solve.sh", "solution/oracle.py", "solution/openenv_mcp.py"}
    assert subprocess.check_output([task / "solution/solve.sh"], text=True) == "played\n"
    assert config(task)["solution"]["env"] == {"OPENENV_MCP_URL": "http://openenv:8765/mcp"}


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines, and as JSON; options of the other ecosystem are refused."""
    asked = ["export", CARTPOLE, "--to", "harbor", "-o", str(tmp_path / "out")]
    assert main([*asked, "--json"]) == 0
    path = tmp_path / "out/cartpole-v1-seed-0"
    assert json.loads(capsys.readouterr().out) == {"to": "harbor", "tasks": {"openenv/cartpole-v1-seed-0": str(path)}}
    assert main([*asked, "--v0"]) == 2
    assert "--v0 is for verifiers" in capsys.readouterr().err
    for option in (["--seeds", "2"], ["--single-container"], ["--with", "x"], ["--base-image", "x"]):
        assert main(["export", "http://127.0.0.1:1", "--to", "verifiers", "-o", str(tmp_path / "v"), *option]) == 2
        assert f"{option[0]} is for harbor" in capsys.readouterr().err


# What is refused

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (CARTPOLE, {"name": "a b"}, "harbor refuses the name 'a b'"),
    (CARTPOLE, {"name": "a/b/c"}, "harbor refuses the name 'a/b/c'"),
    (CARTPOLE, {"name": "a..b"}, "harbor refuses the name 'a..b'"),
    (CARTPOLE, {"name": "-a"}, "harbor refuses the name '-a'"),
    (CARTPOLE, {"tasks": 2}, "has no tasks; give --seeds N"),
    (CARTPOLE, {"split": "train"}, "has no tasks; give --seeds N"),
    (CARTPOLE, {"seeds": 2, "tasks": 2}, "leave out one of them"),
    (CARTPOLE, {"oracle": Path("/nowhere/oracle.py")}, "/nowhere/oracle.py is not there"),
    (CARTPOLE, {"hub": "/nowhere/hub.whl"}, "/nowhere/hub.whl is not there"),
    (CARTPOLE, {"packages": ["tests"]}, "pip wheel --no-deps tests"),
    (CARTPOLE, {"hub": "tests"}, "tests has no wheels"),
    ("openenv:./here:Env", {}, "is a path of this machine"),
    ("nothing:CartPole-v1", {}, "no converter 'nothing'"),
    ("http://127.0.0.1:9", {"packages": ["x"]}, "leave out --with"),
    ("http://127.0.0.1:9", {"single": True, "token": "x"}, "the agent would see the server's token"),
]


@pytest.mark.parametrize(("target", "options", "why"), REFUSED)
def test_what_cannot_be_is_refused(target: str, options: dict[str, Any], why: str, tmp_path: Path) -> None:
    """With what was wrong and the way out, and nothing is written."""
    with pytest.raises(SourceError) as refused:
        write(target, tmp_path / "out", **options)
    assert why in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_what_a_server_cannot_begin_is_refused(riddles: Server, tmp_path: Path) -> None:
    """A task whose reset fails, too many tasks, a split that has none, a server that is not there."""
    with pytest.raises(InteropError, match=r"the task Train Set-3 does not begin by a reset with .*'index': 3"):
        write(riddles.url, tmp_path / "out")
    with pytest.raises(SourceError, match="is a server of the hub, so images need none; leave out --hub"):
        write(riddles.url, tmp_path / "out", seeds=1, hub="openenv-interop")
    with pytest.raises(SourceError, match="9 tasks are more than there are: Train Set has 4"):
        write(riddles.url, tmp_path / "out", tasks=9)
    with pytest.raises(SourceError, match="no tasks in a split 'empty'; it has Train Set"):
        write(riddles.url, tmp_path / "out", split="empty")
    with pytest.raises(ConnectError, match=r"no server answers at http://127\.0\.0\.1:9"):
        write("http://127.0.0.1:9", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    """A directory that is not empty, and a file."""
    (tmp_path / "file").touch()
    for there in (tmp_path, tmp_path / "file"):
        with pytest.raises(SourceError, match="is there and not empty"):
            write(CARTPOLE, there)
    assert files(tmp_path) == {"file"}


# The verifier

KNOWN: list[tuple[str, list[Any], bool, float]] = [
    ("return", [], False, 0.0),
    ("return", [0.0, 1.0, 0.5], True, 1.5),
    ("return", [None, 2.0], True, 2.0),
    ("return", [2.0, None], False, 2.0),
    ("return", [-1.0], False, -1.0),
    ("last", [0.25, 0.75], True, 0.75),
    ("last", ["NaN", 0.75], True, 0.75),
]
UNKNOWN: list[tuple[str, list[Any], bool]] = [
    ("return", [None, None], False),
    ("return", [0.0, None], True),  # its scoring failed
    ("return", ["NaN", 1.0], True),
    ("return", ["good"], True),
    ("last", [], False),
    ("last", [1.0, None], False),
    ("last", ["Infinity"], True),
]


def _result(rewards: list[Any], done: bool) -> dict[str, Any]:
    return {"rewards": rewards, "steps": len(rewards), "done": done, "return": 0.0}


@pytest.mark.parametrize(("rule", "rewards", "done", "expected"), KNOWN)
def test_a_reward_that_is_known(rule: str, rewards: list[Any], done: bool, expected: float) -> None:
    """It is the sum of those that there are, or the last."""
    assert reward(rule, _result(rewards, done)) == expected


@pytest.mark.parametrize(("rule", "rewards", "done"), UNKNOWN)
def test_a_reward_that_is_not_known(rule: str, rewards: list[Any], done: bool) -> None:
    """It is no number instead."""
    with pytest.raises(ValueError, match=r"no reward is known|no finite number"):
        reward(rule, _result(rewards, done))
