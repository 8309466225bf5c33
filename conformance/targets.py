"""What can be certified: a server that runs, or a source, a directory or an image that is served for the run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import yaml

from conformance import package
from conformance.errors import StartError, TargetError

START = 120.0
"""Seconds in which a server must start."""
SESSIONS = 4
"""Sessions at a time that a source is served with."""
APP = "server.app:app"
"""The application of a directory that names none."""
PORT = 8000
"""The port that an image listens on."""
_TAIL = 20
_URL = re.compile(r"(https?|wss?)://", re.IGNORECASE)
_MISSING_MODULE = re.compile(r"No module named '?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server to certify.

    Attributes:
        name: What the user calls it.
        url: Where it listens.
        package: What it was shipped as, as `conformance.package` has it; None for a URL or a source.
        stop: Sends it SIGTERM and does not wait; None where it is not ours to stop.
    """

    name: str
    url: str
    package: Mapping[str, Any] | None = None
    stop: Callable[[], None] | None = None


@contextlib.contextmanager
def target(text: str, *, python: str | None = None, token: str | None = None) -> Iterator[Target]:
    """Serve what a text names, for as long as the block lasts.

    Args:
        text: A URL, a source (`gym:CartPole-v1`), `docker:IMAGE`, or a directory with an `openenv.yaml`.
        python: The Python that serves a source or a directory; this one if None.
        token: The bearer token that a served source asks for.

    Raises:
        TargetError: There is nothing of that name, or nothing that can serve it.
        StartError: It does not start.
    """
    # A server may run in another directory, and a virtual environment is not where its links lead.
    found = os.path.abspath(python) if python and os.sep in python else python
    with _serve(text, found or sys.executable, token) as it:
        yield it


def _serve(text: str, python: str, token: str | None) -> contextlib.AbstractContextManager[Target]:
    if _URL.match(text):
        return contextlib.nullcontext(Target(name=text, url=_checked(text)))
    if text.startswith("docker:"):
        return _image(text.removeprefix("docker:"))
    if Path(text).is_dir():
        return _directory(Path(text).resolve(), python)
    if ":" in text:
        return _source(text, python, token)
    raise TargetError(
        f"{text!r} is nothing that can be certified; accepted are a URL (http://host:port), a source such as "
        "gym:CartPole-v1, docker:IMAGE, and a directory with an openenv.yaml"
    )


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return url
    except ValueError as exc:
        raise TargetError(f"{url} is no URL of a server: {exc}") from exc
    raise TargetError(f"{url} is no URL of a server: it must be like http://host:port")


# A process


@dataclass(frozen=True, slots=True)
class _Child:
    """A server in a process of its own; what it writes goes to files, so that it never waits for us."""

    python: str
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    log: IO[bytes]

    def wait[T](self, ready: Callable[[], T | None]) -> T:
        """What `ready` returns once it is something. Raises `TargetError` or `StartError`."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if (found := ready()) is not None and not ended:
                return found
            if ended:
                raise self._ended()
            time.sleep(0.05)
        raise StartError(f"the server did not start in {START:g} s", self._tail())

    def _ended(self) -> TargetError:
        code, tail = self.process.returncode, self._tail()
        if missing := _MISSING_MODULE.search(tail):
            return TargetError(f"{self.python} has no module {missing[1]}; name a Python that has: --python PATH", tail)
        *_, last = tail.splitlines() or [""]
        if code == 2 and last.startswith("error: "):  # `interop serve` says what is wrong with a source
            return TargetError(last.removeprefix("error: "))
        return StartError(f"the server ended with code {code} before it listened", tail)

    def _tail(self) -> str:
        return _excerpt(_text(self.log) or _text(self.out))


@contextlib.contextmanager
def _child(command: Sequence[str], **options: Any) -> Iterator[_Child]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, **options)
        except OSError as exc:
            raise TargetError(f"{command[0]} cannot be run: {exc.strerror}") from exc
        try:
            yield _Child(command[0], process, out, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _source(source: str, python: str, token: str | None) -> Iterator[Target]:
    command = [python, "-m", "interop", "serve", source, "--port", "0", "--json", "--max-sessions", str(SESSIONS)]
    with _child(command, env={**os.environ, **({"INTEROP_TOKEN": token} if token else {})}) as child:
        url = child.wait(lambda: _announced(child.out))
        yield Target(name=source, url=url, stop=child.process.terminate)


@contextlib.contextmanager
def _directory(path: Path, python: str) -> Iterator[Target]:
    app = _app(path)
    port = _free_port()
    # The official images start it like this.
    command = [python, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    with _child(command, cwd=path) as child:
        child.wait(lambda: _listens(port) or None)
        facts = package.directory(path)
        yield Target(name=path.name, url=f"http://127.0.0.1:{port}", package=facts, stop=child.process.terminate)


def _announced(out: IO[bytes]) -> str | None:
    for line in _text(out).splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(line)["url"])
    return None


def _app(path: Path) -> str:
    manifest = path / "openenv.yaml"
    if not manifest.is_file() and not (path / "server" / "app.py").is_file():
        raise TargetError(f"{path} has neither an openenv.yaml nor a server/app.py: it is no OpenEnv package")
    try:
        document = yaml.safe_load(manifest.read_bytes())
    except (OSError, yaml.YAMLError):
        return APP  # a manifest that cannot be read is a finding, not an error
    app = document.get("app") if isinstance(document, dict) else None
    return app if isinstance(app, str) and app else APP


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# A container


@contextlib.contextmanager
def _image(image: str) -> Iterator[Target]:
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as exc:
        raise TargetError(
            f"docker:{image} needs a package that is missing: pip install 'openenv-interop[docker]'"
        ) from exc
    try:
        client = docker.from_env()
    except DockerException as exc:
        raise TargetError(f"docker:{image}: Docker does not answer: {exc}") from exc
    try:
        container = client.containers.run(image, detach=True, ports={f"{PORT}/tcp": ("127.0.0.1", None)})
    except DockerException as exc:
        client.close()
        raise TargetError(f"docker:{image} cannot be run: {exc}") from exc
    try:
        port, seconds = _wait_for_container(container)
        facts = package.image(ready_seconds=seconds, user=container.image.attrs["Config"].get("User") or "")
        yield Target(
            name=f"docker:{image}",
            url=f"http://127.0.0.1:{port}",
            package=facts,
            stop=lambda: container.kill(signal="SIGTERM"),
        )
    finally:
        container.remove(force=True, v=True)
        client.close()


def _wait_for_container(container: Any) -> tuple[int, float]:
    """The port that it is reached at, and when it was healthy. The port alone opens before anything listens."""
    began = time.monotonic()
    while time.monotonic() - began < START:
        container.reload()
        published = container.ports.get(f"{PORT}/tcp")
        if container.status == "exited":
            code = container.attrs["State"]["ExitCode"]
            raise StartError(f"the container ended with code {code} before it listened", _logs(container))
        if published and _is_healthy(int(published[0]["HostPort"])):
            return int(published[0]["HostPort"]), round(time.monotonic() - began, 3)
        time.sleep(0.1)
    message = f"GET /health on port {PORT} of the container was not answered with 200 in {START:g} s"
    raise StartError(message, _logs(container))


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _logs(container: Any) -> str:
    return _excerpt(container.logs(tail=_TAIL).decode(errors="replace"))


# Words


def _text(file: IO[bytes]) -> str:
    # Reading from a place of our own: the child writes at the position that both share.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def _excerpt(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL:])
