"""Images as servers: started, ended, and what goes wrong, each with one clear message."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from interop.cli import main
from interop.packaging.build import build
from interop.packaging.run import LABEL
from tests.cli.program import COMMAND, ENVIRONMENT

IMAGE = "interop-test-health"
DOCKERFILE = """\
FROM python:3.13-slim
RUN mkdir /site && echo healthy > /site/health
WORKDIR /site
CMD ["python3", "-m", "http.server", "8000"]
"""
BROKEN = "FROM python:3.13-slim\nCMD echo the reason && exit 3\n"


Make = Callable[[str, str], str]


@pytest.fixture
def make(tmp_path: Path, engine: Any) -> Iterator[Make]:
    """Builds an image of a Dockerfile, which is removed in the end."""
    tags = []

    def made(dockerfile: str, tag: str) -> str:
        directory = tmp_path / tag
        directory.mkdir()
        (directory / "openenv.yaml").write_text("name: my_env\n")
        (directory / "Dockerfile").write_text(dockerfile)
        build(directory, tag)
        tags.append(tag)
        return tag

    yield made
    for tag in tags:
        engine.images.remove(tag, force=True)


@pytest.fixture
def engine() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


def containers(engine: Any, image: str) -> list[Any]:
    found: list[Any] = engine.containers.list(all=True, filters={"label": f"{LABEL}={image}"})
    return found


def test_without_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no engine answers one line says so."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["run", "nothing"]) == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("error: no Docker engine answers: ")


@pytest.mark.docker
@pytest.mark.slow  # asks the engine
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_image_runs_until_a_signal(number: int, make: Make, engine: Any) -> None:
    """It says where it answers, ends well, and leaves no container."""
    tag = make(DOCKERFILE, IMAGE)
    command = [*COMMAND, "run", tag, "--port", "0", "--json"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["url"].startswith("http://127.0.0.1:")
        assert [it.short_id for it in containers(engine, tag)] == [said["container"]]
        process.send_signal(number)
        assert process.wait(30) == 0
    assert containers(engine, tag) == []


@pytest.mark.docker
@pytest.mark.slow  # asks the engine
def test_what_cannot_be_run(make: Make, engine: Any) -> None:
    """No such image, a port that is taken, a container that ends: the error says which, and nothing is left."""
    assert _error("interop-test-nothing") == (
        2,
        "error: there is no image interop-test-nothing here; build it, or docker pull interop-test-nothing\n",
    )
    tag = make(DOCKERFILE, IMAGE)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert _error(tag, "--port", str(port)) == (
            2,
            f"error: port {port} of 127.0.0.1 is taken; --port 0 takes a free one\n",
        )
    broken = make(BROKEN, "interop-test-ends")
    assert _error(broken, "--port", "0") == (
        1,
        "error: the container ended with code 3 before it answered; its last words: the reason\n",
    )
    assert containers(engine, tag) == containers(engine, broken) == []


def _error(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, "run", *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr
