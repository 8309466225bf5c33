"""Packages as they are written: their files, what they declare, and what is refused."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from interop import wrap
from interop.cli import main
from interop.environment import StepResult
from interop.errors import SourceError
from interop.packaging.needs import needed
from interop.packaging.survey import survey
from interop.packaging.write import Package, write
from tests.cli.program import run
from tests.environments import Misbehaving, Unbuildable
from tests.environments import source as odd

CARTPOLE = "gym:CartPole-v1"
CLASSIC = f"gymnasium[classic-control]=={version('gymnasium')}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def written(place: Path) -> Package:
    return write(CARTPOLE, place / "cartpole")


def test_the_files(written: Package, place: Path) -> None:
    """A package has all that the official tools look for."""
    assert [path.relative_to(place / "cartpole").as_posix() for path in written.files] == [
        ".dockerignore",
        "Dockerfile",
        "README.md",
        "__init__.py",
        "client.py",
        "discovery.json",
        "models.py",
        "openenv.yaml",
        "packages/lock.txt",
        "packages/requirements.txt",
        "pyproject.toml",
        "server/__init__.py",
        "server/app.py",
        "server/cartpole_v1_env_environment.py",
        "validation/runtime.json",
    ]
    for path in written.files:
        if path.suffix == ".py":
            compile(path.read_text(), path, "exec")
    project = tomllib.loads((place / "cartpole/pyproject.toml").read_text())["project"]
    assert project["name"] == "openenv-cartpole-v1-env"
    assert project["scripts"] == {"server": "cartpole_v1_env.server.app:main"}
    json.loads((place / "cartpole/discovery.json").read_text())


def test_what_is_declared_was_seen(written: Package, place: Path) -> None:
    """The range has every reward of the play, and the plan the actions of its first episode."""
    manifest = yaml.safe_load((place / "cartpole/openenv.yaml").read_text())
    plan = json.loads((place / "cartpole/validation/runtime.json").read_text())
    assert (manifest["name"], manifest["app"], manifest["port"]) == ("cartpole_v1_env", "server.app:app", 8000)
    declared = manifest["validation"]
    assert declared["reward"]["range"] == [0, 1]
    assert written.survey.rewards == (1.0, 1.0)
    assert declared["capabilities"]["declared_tools"] == list(written.survey.tools)
    assert (declared["capabilities"]["task_api"], declared["types"]["tags"]) == (False, ["interop:gym"])
    assert declared["resources"]["memory_mb"] >= 512
    assert declared["execution"]["probe_path"] == "validation/runtime.json"
    assert plan["reset"]["seed"] == 0
    assert plan["actions"] == written.survey.actions
    assert 8 <= len(plan["actions"]) <= 100


def test_rewards_beyond_one_widen_the_range(place: Path) -> None:
    """Rewards of Pendulum are below 0."""
    found = write("gym:Pendulum-v1", place / "pendulum")
    low, high = yaml.safe_load((place / "pendulum/openenv.yaml").read_text())["validation"]["reward"]["range"]
    assert low <= found.survey.rewards[0] < 0
    assert high == 1


def test_requirements(place: Path, tmp_path: Path) -> None:
    """A directory of wheels is copied and is all that is installed from; files among the packages are copied too."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("openenv_interop-1-py3-none-any.whl", "numpy-2.0-any.whl", "notes.txt"):
        (wheels / name).touch()
    game = tmp_path / "my_game-1.2-py3-none-any.whl"
    game.touch()
    write(CARTPOLE, tmp_path / "a", hub=str(wheels), packages=["box2d>=2", str(game)], base_image="acme/python:3")
    assert (tmp_path / "a/packages/requirements.txt").read_text().splitlines() == [
        "--no-index",
        "--find-links /opt/packages",
        "openenv-interop[gymnasium]",
        "box2d>=2",
        "/opt/packages/my_game-1.2-py3-none-any.whl",
        CLASSIC,
    ]
    names = sorted(path.name for path in (tmp_path / "a/packages").iterdir())
    assert names == [
        "lock.txt",
        game.name,
        "numpy-2.0-any.whl",
        "openenv_interop-1-py3-none-any.whl",
        "requirements.txt",
    ]
    assert (tmp_path / "a/Dockerfile").read_text().startswith("ARG BASE_IMAGE=acme/python:3\n")
    dependencies = tomllib.loads((tmp_path / "a/pyproject.toml").read_text())["project"]["dependencies"]
    assert dependencies == ["openenv-interop[gymnasium]>=0.1.0", "box2d>=2", "my-game==1.2", CLASSIC]


@pytest.mark.parametrize(
    ("source", "given", "found"),
    [
        (CARTPOLE, [], [CLASSIC]),
        (CARTPOLE, ["Gymnasium[all]>=1.2"], []),
        (CARTPOLE, ["./gymnasium-1.4.0-py3-none-any.whl"], []),
        ("gym:minigrid:MiniGrid-Empty-5x5-v0", [], [f"minigrid=={version('minigrid')}"]),
        ("gym:ale_py:ALE/Pong-v5", [], [f"ale-py=={version('ale-py')}"]),
    ],
)
def test_what_an_environment_comes_from(source: str, given: list[str], found: list[str]) -> None:
    """It is installed in the release that was played, with what Gymnasium's own need to render, unless it was given."""
    assert needed(source, wrap(source).describe(), given) == found


def test_a_module_of_this_machine_alone() -> None:
    """No image has what no distribution has, unless something was given that may have it."""
    about = wrap(CARTPOLE).describe()
    with pytest.raises(SourceError, match="is in the module my_games, which no installed package has"):
        needed("gym:my_games.all:Lake-v0", about, [])
    assert needed("gym:my_games.all:Lake-v0", about, ["my-games"]) == [CLASSIC]


class Odd(Misbehaving):
    """Rewards with True, and shows more than a message may have when it is told so."""

    def step(self, action: Any, /, **options: Any) -> StepResult:
        super().step({})
        return StepResult({"pixels": "x" * action["size"]}, action["size"] == 0 or 1.0)


@pytest.mark.parametrize(
    ("size", "trouble"),
    [
        (1, ""),
        (0, "a step has the reward True, where the official validator wants a number"),
        (2**20, "an observation has 1049101 bytes, and the official validator reads 1048576"),
        (None, "no action can be derived of the action schema"),
    ],
)
def test_what_the_official_validator_cannot_play(size: int | None, trouble: str) -> None:
    """The survey says why, and what it has seen until then."""
    action = {"type": "object", "properties": {"size": {"const": size}}, "required": ["size"]}
    found = survey("odd", odd(Odd, action={"not": {}} if size is None else action))
    assert found.trouble == trouble
    assert (found.episodes, found.tasks) == (0 if size is None else 3, {})


def test_a_source_that_does_not_begin() -> None:
    """What cannot be built cannot be packaged."""
    with pytest.raises(SourceError, match="broken cannot be packaged, as it does not play"):
        survey("broken", odd(Unbuildable))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (CARTPOLE, {"name": "My-Env"}, "the official tools refuse the name 'My-Env'"),
    (CARTPOLE, {"hub": "/nowhere/hub.whl"}, "/nowhere/hub.whl is not there"),
    (CARTPOLE, {"hub": "tests"}, "tests has no wheel of the hub; make all of them: pip wheel --wheel-dir tests"),
    (CARTPOLE, {"packages": ["tests"]}, "tests is a directory; make a wheel of it: pip wheel --no-deps tests"),
    (CARTPOLE, {"packages": ["./none.whl"]}, "none.whl is not there"),
    ("http://127.0.0.1:1", {}, "is a server already; name the source that it serves"),
    ("harbor:./tasks", {}, "pip install 'openenv-interop[harbor]'"),
    ("openenv:./envs/echo_env", {}, "is a path of this machine, which images do not have"),
    ("gym:./envs", {}, "is a path of this machine, which images do not have"),
    ("gym:NoSuchEnv-v0", {}, "NoSuchEnv"),
    ("CartPole-v1", {}, "is no source"),
]


@pytest.mark.parametrize(("source", "options", "message"), REFUSED)
def test_what_cannot_be_packaged(source: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """One error says what was wrong and the way out, and nothing is written."""
    with pytest.raises(SourceError) as caught:
        write(source, tmp_path / "out", **options)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_directory_that_is_not_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not touched, and the error names it."""
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["package", CARTPOLE, "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is there and not empty; name a new directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_package_is_a_source_no_more(tmp_path: Path) -> None:
    """A directory with an openenv.yaml is built as it is."""
    (tmp_path / "openenv.yaml").touch()
    with pytest.raises(SourceError, match="is an OpenEnv package already; build it: openenv build"):
        write(f"openenv:{tmp_path}", tmp_path / "out")


def test_the_command(tmp_path: Path) -> None:
    """`interop package --json` says what it has written."""
    done = run("package", "gym:FrozenLake-v1", "-o", tmp_path / "lake", "--name", "lake_env", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["name"], document["distribution"]) == ("lake_env", "openenv-lake-env")
    assert (document["environment"], document["validation"]) == ("FrozenLake-v1", None)
    assert all(Path(file).is_file() for file in document["files"])
