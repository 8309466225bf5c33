"""What can be certified: URLs, sources, directories and images."""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from conformance import targets
from conformance.broken import QUICK, Healthy
from conformance.broken.wire import serving
from conformance.errors import StartError, TargetError
from conformance.runner import collect, judge
from conformance.targets import target
from tests.conformance.servers import write

APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"healthy"})
"""


def answers(url: str) -> bool:
    """Whether `GET /health` is answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def package(path: Path, app: str = APP, manifest: str | None = "name: tiny\n") -> Path:
    """A package that is a directory."""
    if manifest is not None:
        write(path / "openenv.yaml", manifest)
    write(path / "server" / "app.py", app)
    return path


def test_a_url_is_left_alone() -> None:
    """A URL is taken as it is; it is not ours to stop."""
    with target("http://127.0.0.1:1/prefix") as it:
        assert (it.name, it.url, it.package, it.stop) == ("http://127.0.0.1:1/prefix",) * 2 + (None, None)


def test_a_source_is_served() -> None:
    """A source is served by a process that can be told to stop, and closes its sessions then."""
    with target("gym:CartPole-v1") as it:
        assert (it.name, it.package) == ("gym:CartPole-v1", None)
        evidence = collect(it.url, timing=QUICK, only=(), stop=it.stop)
    results = {result.requirement.id: result for result in judge(evidence)}
    assert results["WS-26"].outcome == "pass", results["WS-26"].message


@pytest.mark.parametrize("manifest", ["name: tiny\napp: server.app:app\n", "name: tiny\n", "{", None])
def test_a_directory_is_served(manifest: str | None, tmp_path: Path) -> None:
    """A directory is served as its `openenv.yaml` says, or in the usual way, from its own folder."""
    with target(str(package(tmp_path / "tiny", manifest=manifest))) as it:
        assert it.name == "tiny"
        assert answers(it.url)
        assert it.package is not None
        assert "server/app.py" in it.package["files"]
        assert it.stop is not None
        it.stop()
        deadline = time.monotonic() + 10
        while answers(it.url):
            assert time.monotonic() < deadline


def test_the_python_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of a Python is relative to where the user is."""
    write(tmp_path / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n').chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with target(str(package(tmp_path / "tiny")), python="./python") as it:
        assert answers(it.url)


@pytest.mark.parametrize(
    ("app", "kind", "message", "log"),
    [
        (
            "import no_such_module",
            TargetError,
            "has no module no_such_module; name a Python that has: --python",
            "line 1",
        ),
        ("raise SystemExit(7)", StartError, "the server ended with code 7 before it listened", ""),
        ("print('hello')\n1 / 0", StartError, "the server ended with code 1 before it listened", "ZeroDivisionError"),
        ("import time; print('wait', flush=True); time.sleep(60)", StartError, "did not start in 1 s", "wait"),
    ],
)
def test_a_directory_that_does_not_start(
    app: str, kind: type[TargetError], message: str, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the last words of a server that does not start."""
    monkeypatch.setattr(targets, "START", 1.0 if "sleep" in app else 60.0)
    with pytest.raises(TargetError, match=message) as caught:
        with target(str(package(tmp_path, app))):
            pass
    assert type(caught.value) is kind
    assert log in caught.value.log
    assert caught.value.log in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CartPole-v1", "'CartPole-v1' is nothing that can be certified; accepted are a URL"),
        ("http://127.0.0.1:99999", "http://127.0.0.1:99999 is no URL of a server: Port out of range"),
        ("http://", "http:// is no URL of a server: it must be like http://host:port"),
        ("gym:Nothing-v0", "^gym:Nothing-v0 cannot be found"),
        ("nothing:x", "there is no converter 'nothing'; installed are gym:, harbor:, openenv:"),
        ("tests", "tests has neither an openenv.yaml nor a server/app.py: it is no OpenEnv package"),
    ],
)
def test_what_is_no_target(text: str, message: str) -> None:
    """What cannot be certified is an error that says what can."""
    with pytest.raises(TargetError, match=message) as caught:
        with target(text):
            pass
    assert not isinstance(caught.value, StartError)


def test_a_python_that_is_none(tmp_path: Path) -> None:
    """A Python that is not there is an error that names it."""
    with pytest.raises(TargetError, match="/no/python cannot be run: No such file or directory"):
        with target(str(package(tmp_path)), python="/no/python"):
            pass


# Images: the calls of Docker's SDK that are made, on a container whose port is a server in this process


class Container:
    """A container."""

    def __init__(self, url: str, state: str = "running") -> None:
        self.status = state
        self.ports = {"8000/tcp": [{"HostPort": str(urlsplit(url).port)}]}
        self.attrs = {"State": {"ExitCode": 3}}
        self.image = types.SimpleNamespace(attrs={"Config": {"User": "app"}})
        self.calls: list[str] = []

    def reload(self) -> None:
        pass

    def logs(self, tail: int) -> bytes:
        return b"what it said\n"

    def kill(self, signal: str) -> None:
        self.calls.append(signal)

    def remove(self, force: bool, v: bool) -> None:
        self.calls.append("remove")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Container], list[Any]]:
    """Makes Docker run a container; returns what it is asked to run."""

    def install(container: Container) -> list[Any]:
        ran: list[Any] = []

        def run(image: str, **options: Any) -> Container:
            ran.append((image, options))
            if image == "nothing":
                raise docker.errors.ImageNotFound("no such image")
            return container

        client = types.SimpleNamespace(containers=types.SimpleNamespace(run=run), close=lambda: None)
        monkeypatch.setattr(docker, "from_env", lambda: client)
        return ran

    return install


def test_an_image_is_run(run: Callable[[Container], list[Any]]) -> None:
    """An image is run with its port on loopback, can be told to stop, and is removed."""
    with serving(Healthy()) as running:
        container = Container(running.url)
        ran = run(container)
        with target("docker:my-env:latest") as it:
            assert (it.name, it.url) == ("docker:my-env:latest", running.url)
            assert it.package is not None
            assert it.package["user"] == "app"
            assert it.package["ready_seconds"] < 5
            assert it.stop is not None
            it.stop()
    assert ran == [("my-env:latest", {"detach": True, "ports": {"8000/tcp": ("127.0.0.1", None)}})]
    assert container.calls == ["SIGTERM", "remove"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("exited", "the container ended with code 3 before it listened"),
        ("running", "GET /health on port 8000 of the container was not answered with 200"),
    ],
)
def test_images_that_do_not_start(
    state: str, message: str, run: Callable[[Container], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that ends or is never healthy is an error with its log, and is removed."""
    monkeypatch.setattr(targets, "START", 0.3)
    container = Container("http://127.0.0.1:1", state)
    run(container)
    with pytest.raises(StartError, match=message) as caught:
        with target("docker:my-env"):
            pass
    assert caught.value.log == "what it said"
    assert container.calls == ["remove"]


def test_an_unknown_image(run: Callable[[Container], list[Any]]) -> None:
    """An image that cannot be run is an error with Docker's words."""
    run(Container("http://127.0.0.1:1"))
    with pytest.raises(TargetError, match="docker:nothing cannot be run: no such image"):
        with target("docker:nothing"):
            pass


def test_without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker that does not answer, and a missing SDK, are errors that say so."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/docker.sock")
    with pytest.raises(TargetError, match="docker:x: Docker does not answer: "):
        with target("docker:x"):
            pass
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(TargetError, match=r"needs a package that is missing: pip install 'openenv-interop\[docker\]'"):
        with target("docker:x"):
            pass
