"""Images as servers: started, ended, and what goes wrong, each with one clear message."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

import interop
from interop.cli import main
from interop.errors import InteropError, SourceError
from interop.packaging import containers
from interop.packaging.build import build
from interop.packaging.owner import _began, is_gone, owner
from interop.providers import image_of
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


def there(engine: Any, image: str) -> list[Any]:
    """The containers of an image."""
    found: list[Any] = engine.containers.list(all=True, filters={"label": f"interop.image={image}"})
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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            "gpus=1",
            "docker:it has no option 'gpus'; accepted are memory=2g, cpus=1.5, pids=512, env=OPENAI_API_KEY,HF_TOKEN",
        ),
        ("memory=lots", "docker:it: memory=lots makes no sense; examples are memory=2g, cpus=1.5"),
        ("memory=-1g", "docker:it: memory=-1g makes no sense"),
        ("cpus=nan&memory=1g", "docker:it: cpus=nan, memory=1g makes no sense"),
        ("cpus=inf", "docker:it: cpus=inf makes no sense"),
        ("pids=0", "docker:it: pids=0 makes no sense"),
        ("env=NOBODY_HAS_IT", "docker:it?env=NOBODY_HAS_IT: this process has no variable NOBODY_HAS_IT"),
        ("memory", "'docker:it?memory': 'memory' is not key=value"),
    ],
)
def test_options_that_make_no_sense(options: str, says: str) -> None:
    """They are named before an engine is asked, with what is accepted."""
    with pytest.raises(SourceError) as caught:
        interop.make(f"docker:it?{options}")
    assert str(caught.value).startswith(says)


def test_options_are_the_engines() -> None:
    """Units are those of the engine's command line, and the container gets no swap and what was named."""
    options = {"memory": "1.5g", "cpus": "0.5", "pids": "64", "env": "PATH"}
    assert containers._limits("it", options, "secret") == {
        "mem_limit": 1610612736,
        "memswap_limit": 1610612736,
        "nano_cpus": 500_000_000,
        "pids_limit": 64,
        "environment": {"INTEROP_TOKEN": "secret", "PATH": os.environ["PATH"]},
    }
    assert [containers._limits("it", {"memory": it}, None)["mem_limit"] for it in ("64m", "9000k", "123456789")] == [
        67108864,
        9216000,
        123456789,
    ]


def test_an_owner_is_gone_when_its_process_is() -> None:
    """Another process of the same number is another owner, and of other machines nothing is said."""
    assert not is_gone(owner())
    place, pid, began = owner().rsplit(" ", 2)
    assert is_gone(f"{place} {pid} {int(began) - 1}")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        mine = f"{place} {child.pid} {_began(child.pid)}"
        assert not is_gone(mine)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(mine)  # a zombie is no process any more
    assert is_gone(mine)
    assert not is_gone(f"elsewhere {pid} 1")
    assert not is_gone("")


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_image_runs_until_a_signal(number: int, make: Make, engine: Any) -> None:
    """It says where it answers, ends well, and leaves no container."""
    tag = make(DOCKERFILE, IMAGE)
    command = [*COMMAND, "run", tag, "--port", "0", "--json"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["url"].startswith("http://127.0.0.1:")
        assert [it.short_id for it in there(engine, tag)] == [said["container"]]
        process.send_signal(number)
        assert process.wait(30) == 0
    assert there(engine, tag) == []


@pytest.mark.docker
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
    assert there(engine, tag) == there(engine, broken) == []


def _error(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, "run", *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


STARTS = """\
import os, sys, time
from interop.providers import image_of
running = [image_of(f"docker:{sys.argv[1]}").start() for _ in range(2)]
print("started", flush=True)
if sys.argv[2] == "forgets":
    sys.exit()
time.sleep(100)
"""


@pytest.mark.docker
def test_kill_9_leaves_no_container(make: Make, engine: Any) -> None:
    """The process beside the one that was killed removes its containers, and those of others stay."""
    tag = make(DOCKERFILE, IMAGE)
    other = image_of(f"docker:{tag}")
    assert other is not None
    running = other.start()
    try:
        command = [sys.executable, "-c", STARTS, tag, "waits"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            assert len(there(engine, tag)) == 3
            process.kill()
        while len(there(engine, tag)) > 1:
            time.sleep(0.2)
        assert [it.id for it in there(engine, tag)] == [running.id]
    finally:
        running.stop()
        running.stop()


@pytest.mark.docker
def test_what_nobody_could_remove_is_removed_by_the_next(make: Make, engine: Any) -> None:
    """Where the process beside it was killed too, whoever starts a container next removes what is left."""
    tag = make(DOCKERFILE, IMAGE)
    with subprocess.Popen([sys.executable, "-c", STARTS, tag, "waits"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for child in _children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
    left = {it.id for it in there(engine, tag)}
    assert len(left) == 2
    found = image_of(f"docker:{tag}")
    assert found is not None
    found.start().stop()
    assert there(engine, tag) == []


@pytest.mark.docker
def test_a_process_that_forgets_leaves_no_container(make: Make, engine: Any) -> None:
    """The end of a process is the end of its containers, and of the process beside it."""
    tag = make(DOCKERFILE, IMAGE)
    subprocess.run([sys.executable, "-c", STARTS, tag, "forgets"], check=True, capture_output=True, timeout=60)
    assert there(engine, tag) == []


@pytest.mark.docker
def test_an_image_that_is_never_healthy(make: Make, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has its last words, and nothing is left."""
    monkeypatch.setattr(containers, "START", 2.0)
    tag = make("FROM python:3.13-slim\nCMD echo still thinking && sleep 100\n", "interop-test-deaf")
    with pytest.raises(InteropError) as caught:
        interop.make(f"docker:{tag}")
    assert str(caught.value) == (
        "GET /health on its port 8000 was not answered with 200 in 2 s; its last words: still thinking"
    )
    assert there(engine, tag) == []


@pytest.mark.docker
def test_limits_are_kept(make: Make, engine: Any) -> None:
    """A container that wants more memory than it may have says so when it ends."""
    hungry = (
        "import http.server as h, threading as t; t.Timer(2, lambda: bytearray(1 << 28)).start(); "
        "h.test(h.SimpleHTTPRequestHandler, port=8000)"
    )
    dockerfile = DOCKERFILE.replace('"-m", "http.server", "8000"', json.dumps(["-c", hungry])[1:-1])
    tag = make(dockerfile, "interop-test-hungry")
    found = image_of(f"docker:{tag}?memory=64m&pids=50")
    assert found is not None
    running = found.start()
    try:
        limits = there(engine, tag)[0].attrs["HostConfig"]
        assert (limits["Memory"], limits["PidsLimit"]) == (64 << 20, 50)
        with pytest.raises(
            InteropError, match=r"^the container ended with code 137, as it needed more memory than it may"
        ):
            running.wait()
    finally:
        running.stop()


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(it) for it in found.split()]
