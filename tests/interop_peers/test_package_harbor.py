"""A task of harbor as a package and as an image, which plays it in place: written, built and played."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml

import interop
from tests.interop_peers.conftest import ROOT
from tests.packaging.packages import free_port, image, started

TASKS = ROOT / "tests/harbor_tasks"
IMAGE = "interop-test-harbor"
START = 60.0


@pytest.fixture(scope="module")
def python(peer: Callable[..., Path]) -> Path:
    """An interpreter with harbor and the hub."""
    return peer("0.26.0", "harbor")


def package_of(python: Path, source: str, directory: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """`interop package`."""
    command = [python, "-m", "interop", "package", f"harbor:{TASKS}/{source}", "-o", directory, "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done


def solution(task: str) -> str:
    return (TASKS / task / "solution/solve.sh").read_text()


@pytest.fixture(scope="module")
def package(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of a task with an image of some size."""
    directory = tmp_path_factory.mktemp("packages") / "image_env"
    done = package_of(python, "image?agent_timeout=50", directory)
    assert (json.loads(done.stdout)["name"], json.loads(done.stdout)["environment"]) == ("image_env", "interop/image")
    assert "an episode uses up its container" in done.stderr
    return directory


def test_the_files(package: Path) -> None:
    """The task goes along without its solution, and the image has nothing of it but what the server reads."""
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {it for it in files if it.startswith("source/")} == {
        "source/image/task.toml",
        "source/image/instruction.md",
        "source/image/environment/Dockerfile",
        "source/image/environment/data/one.txt",
        "source/image/tests/test.sh",
    }
    assert "validation/runtime.json" not in files
    lines = (package / "Dockerfile").read_text().splitlines()
    assert "COPY source/image/environment/data data/" in lines
    kept = [line for line in lines if "/opt/interop/env/source" in line]
    assert kept == [
        'COPY ["Dockerfile", "/opt/interop/env/source/image/environment/"]',
        'COPY ["source/image/instruction.md", "/opt/interop/env/source/image/instruction.md"]',
        'COPY ["source/image/task.toml", "/opt/interop/env/source/image/task.toml"]',
        'COPY ["source/image/tests", "/opt/interop/env/source/image/tests"]',
        "RUN chmod 700 /opt/interop/env/source",
    ]
    assert (package / ".dockerignore").read_text().endswith("**/__pycache__\n!source/**/__pycache__\n")


def test_what_is_declared(package: Path) -> None:
    """The tools, the task, and the time of agent and verifier; no execution, which the official validator cannot do."""
    declared = yaml.safe_load((package / "openenv.yaml").read_text())["validation"]
    assert declared["capabilities"]["declared_tools"] == ["exec", "read_file", "write_file", "submit", "instruction"]
    assert declared["capabilities"]["declared_task_count"] == {"test": 1}
    assert declared["resources"]["episode_timeout_s"] == 120.0
    assert declared["types"]["tags"] == ["interop:harbor"]
    assert "execution" not in declared
    requirements = (package / "packages/requirements.txt").read_text().splitlines()
    assert requirements == ["openenv-interop[harbor]==0.1.0", "harbor==0.26.0"]
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["openenv-interop[harbor]>=0.1.0", "harbor==0.26.0"]
    assert 'Application("harbor:source?agent_timeout=50.0", directory=' in (package / "server/app.py").read_text()


def test_outside_of_an_image(package: Path, python: Path) -> None:
    """A package's server plays its task in a sandbox of the machine, never on the machine itself."""
    port = free_port()
    with started(package, image(port), port, python), interop.connect(f"http://127.0.0.1:{port}") as session:
        first = session.reset()
        assert first.observation["info"]["sandbox"] == "namespace"
        assert first.observation["info"]["task"]["id"] == "interop/image"
        assert session.step({"type": "exec", "command": solution("image")}).observation["exit_code"] == 0
        assert session.step({"type": "submit"}).reward == 1.0


# Docker


@pytest.fixture(scope="module")
def tag(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of a task whose agent is not root, built without a package index."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
    (hub,) = wheels.iterdir()
    directory = tmp_path_factory.mktemp("packages") / "nonroot_env"
    there = ["--python-version", "3.13", "--only-binary", ":all:", "--dest", str(wheels)]
    subprocess.run([*pip, "download", *there, f"{hub}[harbor]", "harbor==0.26.0"], check=True)
    package_of(python, "nonroot", directory, "--hub", wheels)
    build = [sys.executable, "-m", "interop", "build", str(directory), "--tag", IMAGE]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    yield IMAGE
    subprocess.run(["docker", "rmi", "--force", IMAGE], check=True, capture_output=True)


@contextmanager
def container(tag: str, *more: str) -> Iterator[str]:
    """The address of a container of an image, which answers."""
    run = ["docker", "run", "--detach", "--publish", "127.0.0.1::8000", *more, tag]
    id = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        published = subprocess.run(["docker", "port", id, "8000"], check=True, capture_output=True, text=True).stdout
        url = f"http://{published.strip()}"
        deadline = time.monotonic() + START
        while not healthy(url):
            assert time.monotonic() < deadline, subprocess.run(["docker", "logs", id], capture_output=True).stderr
            time.sleep(0.1)
        yield url
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", id], check=True, capture_output=True)


def healthy(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
    return False


def run(session: interop.Session, command: str, **more: str) -> tuple[str, str]:
    """What a command says."""
    seen = session.step({"type": "exec", "command": command, **more}).observation
    assert seen["error"] is None
    return seen["output"].strip(), seen["stderr"]


@pytest.mark.docker
@pytest.mark.slow  # an image is built
@pytest.mark.timeout(1800)
def test_a_container_plays_an_episode(tag: str) -> None:
    """The task's own solution gets 1.0 in the container itself, which then is used up."""
    with container(tag) as url, interop.connect(url) as session:
        first = session.reset()
        assert first.observation["info"]["sandbox"] == "inplace"
        assert run(session, solution("nonroot"))[1] == "cat: /opt/hidden.txt: Permission denied\n"
        last = session.step({"type": "submit"})
        assert (last.reward, last.done, last.observation["error"]) == (1.0, True, None)
        with pytest.raises(interop.ExecutionError, match="this container has played its episode; start a new one"):
            session.reset()


@pytest.mark.docker
@pytest.mark.slow  # an image is built
@pytest.mark.timeout(1800)
def test_who_does_nothing_gets_nothing(tag: str) -> None:
    """The verifier gives 0.0 in a container where nothing was done."""
    with container(tag) as url, interop.connect(url) as session:
        session.reset()
        last = session.step({"type": "submit"})
        assert (last.reward, last.done, last.observation["error"]) == (0.0, True, None)


@pytest.mark.docker
@pytest.mark.slow  # an image is built
@pytest.mark.timeout(1800)
def test_what_is_safe_from_an_agent_that_is_not_root(tag: str) -> None:
    """It has the task's directory and variables, and neither the tests nor the server's own, whatever it is in."""
    kept = "/opt/interop/env/source/nonroot"
    with (
        container(tag, "--env", "INTEROP_TOKEN=opal-heron") as url,
        interop.connect(url, headers={"Authorization": "Bearer opal-heron"}) as session,
    ):
        session.reset()
        assert run(session, "id -un; pwd; echo $HOME")[0].split() == ["player", "/app", "/home/player"]
        assert not run(session, "command -v python3")[0].startswith("/opt/interop")
        assert "opal-heron" not in run(session, "env; cat /proc/1/environ")[0]
        assert run(session, f"ls /tests {kept}/tests")[0] == ""
        inside = run(session, "cat test.sh", cwd=f"{kept}/tests")
        assert (inside[0], "Permission denied" in inside[1]) == ("", True)
        read = session.step({"type": "read_file", "path": f"{kept}/task.toml"}).observation
        assert (read["output"], read["exit_code"]) == ("", 1)
        assert run(session, "touch /opt/interop/x /opt/interop/.venv/x")[1].count("Permission denied") == 2


@pytest.mark.docker
@pytest.mark.slow  # an image is built
@pytest.mark.timeout(1800)
def test_an_image_without_python(package: Path) -> None:
    """The build ends with what the image must have, and the ways out."""
    dockerfile = package / "Dockerfile"
    text = dockerfile.read_text()
    none = "RUN rm -f /usr/bin/python3* /usr/local/bin/python3*\nUSER maker\n"
    dockerfile.write_text(text.replace("USER maker\n", none, 1))
    try:
        build = [sys.executable, "-m", "interop", "build", str(package), "--tag", f"{IMAGE}-none"]
        done = subprocess.run(build, capture_output=True, text=True)
    finally:
        dockerfile.write_text(text)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert "this image needs Python 3.12 or newer as python3, with venv, for the hub: let the task's Docker" in said
