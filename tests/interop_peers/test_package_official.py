"""Packages that we write are packages for the official tools: validated, discovered, built and started by them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import interop
from interop.packaging.build import build
from interop.packaging.write import write
from interop.providers import image_of
from tests.interop_peers.conftest import HERE, ROOT, Serve
from tests.packaging.packages import free_port, official, started

CARTPOLE = "gym:CartPole-v1"
ACTIONS = [0, 1, 1, 0, 1]
RUNTIME = ("runtime.startup", "runtime.reward_well_formed", "runtime.observation_schema", "runtime.state_contract")
IMAGE = "interop-test-cartpole"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages") / "cartpole_v1_env"
    write(CARTPOLE, directory)
    return directory


@pytest.fixture(scope="module")
def said(package: Path, peer: Callable[..., Path]) -> dict[str, Any]:
    """What the official package makes of it."""
    command = [peer(), HERE / "official_packages.py", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def episode() -> list[Any]:
    """The same episode of the source itself."""
    with interop.serve(CARTPOLE) as server, interop.connect(server.url, binary=False) as session:
        results = [session.reset(seed=7), *(session.step({"action": action}) for action in ACTIONS)]
        seen = [{**it.observation, "reward": it.reward, "done": it.done} for it in results]
        return [*seen, session.state()]


def test_it_is_valid(said: dict[str, Any]) -> None:
    """No check fails: the static one passes, and those at run time that are implemented."""
    statuses = {id: status for id, (status, *_) in said["checks"].items()}
    assert statuses["static.manifest"] == "pass"
    assert {id: statuses[id] for id in RUNTIME} == dict.fromkeys(RUNTIME, "pass"), said["checks"]
    assert set(statuses.values()) == {"pass", "skip"}
    unknown = {
        why for id, (status, why, *_) in said["checks"].items() if status == "skip" and id != "runtime.network_policy"
    }
    assert unknown == {"grader not implemented in this build"}
    assert said["verdict"] == "warn"  # what is skipped makes one, for any package


@pytest.mark.slow  # its imports take ten seconds
def test_the_command_line_accepts_it(package: Path, peer: Callable[..., Path]) -> None:
    """`openenv validate` passes it statically."""
    openenv = peer().with_name("openenv")
    done = subprocess.run([openenv, "validate", package, "--level", "static"], capture_output=True, text=True)
    assert (done.returncode, "Verdict: PASS" in done.stdout) == (0, True), done.stdout


def test_it_can_be_pushed(said: dict[str, Any]) -> None:
    """`openenv push` misses nothing that it requires."""
    assert said["warnings"] == ["Recommended directory missing: outputs/"]


def test_the_environment_class_plays_the_source(said: dict[str, Any]) -> None:
    """Built without arguments, in process, it returns what the source does."""
    without_ids = [{**it, "episode_id": None} if "episode_id" in it else it for it in said["class"]]
    assert without_ids == [{**it, "episode_id": None} if "episode_id" in it else it for it in episode()]
    assert said["metadata"] == "CartPole-v1"


def test_the_typed_client_plays_the_source(said: dict[str, Any]) -> None:
    """The classes that AutoEnv derives from the package's name are there, and lose nothing."""
    assert said["client"][:-1] == episode()[:-1]
    assert said["client"][-1]["step_count"] == len(ACTIONS)


@pytest.mark.slow  # its imports take ten seconds, twice
def test_it_is_discovered(package: Path, peer: Callable[..., Path], tmp_path: Path) -> None:
    """`openenv catalog build` takes it up, and `openenv discover` finds it."""
    repository = tmp_path / "repository"
    shutil.copytree(package, repository / "envs/cartpole_v1_env")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *command], check=True)
    openenv, catalog = peer().with_name("openenv"), tmp_path / "catalog.json"
    options = [
        "--repository",
        repository,
        "--repository-uri",
        "https://github.com/acme/envs.git",
        "--publisher",
        "acme.example",
    ]
    command = [openenv, "catalog", "build", *options, "--root", "envs", "--output", catalog]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([openenv, "discover", "cart pole", "--catalog", catalog], capture_output=True, text=True)
    assert "cartpole_v1_env" in done.stdout.lower(), done.stdout + done.stderr


@pytest.mark.slow  # verifiers takes seconds to import, in three processes
def test_an_environment_of_verifiers(
    peer: Callable[..., Path], tmp_path: Path, serve_ours: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes along as it is, and is played in the interpreter that the image made for it, rewards and all."""
    python = peer("0.4.0", "verifiers")
    source = f"verifiers:{ROOT / 'tests/verifiers_environments/v1_reverse'}"
    monkeypatch.setenv("INTEROP_PYTHON", str(python))
    directory = tmp_path / "reverse_env"
    package = write(source, directory, name="reverse_env")
    assert package.survey.tasks == {"all": 8}
    assert (directory / "packages/environment.txt").read_text() == "/opt/packages/source\nverifiers==0.4.0\n"
    port = free_port()
    with started(directory, official(port), port):
        ours = verifiers_episode(f"http://127.0.0.1:{port}")
    with serve_ours(source, "--python", str(python), python=Path(sys.executable)) as url:
        assert ours == verifiers_episode(url)
    assert ours[-1][1] == 2.0


def verifiers_episode(url: str) -> list[Any]:
    """A rollout whose answer is right: the text of the task, reversed."""
    with interop.connect(url) as session:
        first = session.reset(split="all", index=3, episode_id="it")
        text = first.observation["messages"][-1]["content"].split()[-1]
        last = session.step({"content": text[::-1]})
        timeless = [{**it.observation, "info": it.observation["info"].get("task")} for it in (first, last)]
        return [(timeless[0], first.reward), session.state(), (timeless[1], last.reward)]


# Docker


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel of the hub."""
    directory = tmp_path_factory.mktemp("wheels")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", directory, ROOT], check=True)
    return directory


def packaged(source: str, directory: Path, wheels: Path, extra: str = "") -> None:
    """A package whose image needs no package index: all wheels that it names are put beside that of the hub."""
    write(source, directory)
    (hub,) = wheels.glob("openenv_interop-*.whl")
    _, *needs = (directory / "packages/requirements.txt").read_text().splitlines()
    there = ["--python-version", "3.13", "--only-binary", ":all:", "--dest", str(wheels)]
    subprocess.run([*PIP, "download", *there, f"{hub}{extra}", *needs], check=True)
    shutil.rmtree(directory)
    write(source, directory, hub=str(wheels))


@pytest.fixture(scope="module")
def image(
    tmp_path_factory: pytest.TempPathFactory, wheels: Path, peer: Callable[..., Path]
) -> Iterator[tuple[Path, str]]:
    """A package, and the image that `openenv build` makes of it without a package index."""
    directory = tmp_path_factory.mktemp("packages") / "cartpole_v1_env"
    packaged(CARTPOLE, directory, wheels, "[gymnasium]")
    command = [peer().with_name("openenv"), "build", directory, "--tag", IMAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    yield directory, IMAGE
    subprocess.run(["docker", "rmi", "--force", IMAGE], check=True, capture_output=True)


def official_episode(tag: str, steps: str, python: Path, program: Path) -> list[Any]:
    """What the official client sees that starts an image; `steps` are expressions of `env`."""
    program.write_text(
        "import json\nfrom openenv import GenericEnvClient\n"
        f"env = GenericEnvClient.from_docker_image({tag!r}).sync()\n"
        "try:\n"
        f"    results = [{steps}]\n"
        "    print(json.dumps([{**it.observation, 'reward': it.reward, 'done': it.done} for it in results]))\n"
        "finally:\n    env.close()\n"
    )
    done = subprocess.run([python, program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_image(image: tuple[Path, str], peer: Callable[..., Path], tmp_path: Path) -> None:
    """The official client starts it and plays the source's episode; it is certified, and not large."""
    _, tag = image
    steps = f"env.reset(seed=7), *(env.step({{'action': it}}) for it in {ACTIONS})"
    assert official_episode(tag, steps, peer(), tmp_path / "play.py") == episode()[:-1]
    report = interop.certify(f"docker:{tag}")
    assert report.certified, report.findings
    assert report.findings == []
    sizes = [_size(name) for name in (tag, "python:3.13-slim")]
    assert sizes[0] - sizes[1] < 200e6, sizes


@pytest.mark.docker
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("how", "local"),
    [(None, None), ({}, {}), ({"servers": 2}, {"sessions": True})],
    ids=["single", "vector", "containers"],
)
def test_gymnasium_code_plays_the_image(
    image: tuple[Path, str], how: dict[str, int] | None, local: dict[str, int] | None
) -> None:
    """An episode in a container, or in several, is that of the source, bit for bit."""
    remote = f"docker:{image[1]}?memory=512m&cpus=1&pids=200"
    assert trajectory(remote, how, 30) == trajectory(CARTPOLE, local, 30)
    assert _containers(image[1]) == ""


def trajectory(source: str, how: dict[str, int] | None, steps: int) -> list[Any]:
    """All that an episode shows; arrays as their bytes."""
    env: Any = interop.make(source) if how is None else interop.make_vec(source, 2, **how)
    env.action_space.seed(1)
    seen = [env.reset(seed=5), *(env.step(env.action_space.sample()) for _ in range(steps))]
    env.close()
    return [[_bits(it) for it in result] for result in seen]


def _bits(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bits(it) for key, it in value.items()}
    return (str(value.dtype), value.shape, value.tobytes()) if hasattr(value, "tobytes") else (type(value), value)


@pytest.mark.docker
@pytest.mark.slow  # an image is built, and the suite looks at frames
@pytest.mark.timeout(1200)
def test_an_image_of_a_game(wheels: Path, peer: Callable[..., Path], tmp_path: Path) -> None:
    """An ALE game is built, started by the official client, played bit for bit, and certified."""
    game, tag = "gym:ale_py:ALE/Pong-v5", "interop-test-pong"
    packaged(game, tmp_path / "pong_env", wheels, "[gymnasium]")
    build(tmp_path / "pong_env", tag)
    try:
        steps = "env.reset(seed=7), *(env.step({'action': it}) for it in range(3))"
        shown = official_episode(tag, steps, peer(), tmp_path / "play.py")
        assert [len(it["obs"]) for it in shown] == [210] * 4
        assert trajectory(f"docker:{tag}", None, 30) == trajectory(game, None, 30)
        report = interop.certify(f"docker:{tag}")
        assert (report.certified, report.findings) == (True, [])
    finally:
        subprocess.run(["docker", "rmi", "--force", tag], check=True, capture_output=True)


@pytest.mark.docker
@pytest.mark.slow  # an image is built, with an interpreter of its own
@pytest.mark.timeout(1800)
def test_an_image_of_verifiers(
    wheels: Path, peer: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's own interpreter is in the image; the official client and ours get the rubric's reward."""
    tag = "interop-test-reverse"
    monkeypatch.setenv("INTEROP_PYTHON", str(peer("0.4.0", "verifiers")))
    (hub,) = wheels.glob("openenv_interop-*.whl")
    write(f"verifiers:{ROOT / 'tests/verifiers_environments/v1_reverse'}", tmp_path / "reverse_env", hub=str(hub))
    build(tmp_path / "reverse_env", tag)
    try:
        answer = "(first := env.reset(split='all', index=3)).observation['messages'][-1]['content'].split()[-1][::-1]"
        shown = official_episode(tag, f"env.step({{'content': {answer}}})", peer(), tmp_path / "play.py")
        assert (shown[0]["reward"], shown[0]["done"]) == (2.0, True)
        image = image_of(f"docker:{tag}")
        assert image is not None
        running = image.start()
        try:
            assert verifiers_episode(running.url)[-1][1] == 2.0
            assert interop.certify(running.url).certified
        finally:
            running.stop()
    finally:
        subprocess.run(["docker", "rmi", "--force", tag], check=True, capture_output=True)


@pytest.mark.docker
@pytest.mark.slow  # an image is built
@pytest.mark.timeout(900)
def test_the_official_validator_in_docker(image: tuple[Path, str], peer: Callable[..., Path]) -> None:
    """It builds the image, runs it without rights and with nothing to write to, and no check fails."""
    command = [peer().with_name("openenv"), "validate", image[0], "--level", "runtime", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = {it["check_id"]: it["status"] for it in json.loads(done.stdout)["results"]}
    assert {id: statuses[id] for id in RUNTIME} == dict.fromkeys(RUNTIME, "pass")
    assert set(statuses.values()) == {"pass", "skip"}


@pytest.mark.docker
@pytest.mark.slow  # an image is built, twice
@pytest.mark.timeout(900)
def test_builds_are_reproducible(image: tuple[Path, str]) -> None:
    """A second build from nothing has the same files."""
    directory, tag = image
    again = f"{tag}-again"
    subprocess.run(["docker", "build", "--quiet", "--no-cache", "--tag", again, directory], check=True)
    try:
        assert _files(tag) == _files(again)
    finally:
        subprocess.run(["docker", "rmi", "--force", again], check=True, capture_output=True)


def _containers(image: str) -> str:
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=interop.image={image}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _size(image: str) -> int:
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _files(image: str) -> str:
    """The digest of every file of /app."""
    program = (
        "find /app -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum; find /app -type l -printf '%p %l\\n' | sort"
    )
    command = ["docker", "run", "--rm", image, "sh", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
