"""Runs an image as a server, for as long as a block lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from interop.errors import InteropError, SourceError
from interop.packaging.application import PORT
from interop.packaging.engine import engine

LABEL = "interop.run"
"""Marks the containers that are started here."""
START = 120.0
"""Seconds until an image must answer."""
_TAIL = 20
"""Lines of a container's log that an error has."""


@dataclass(frozen=True)
class Running:
    """A container that answers.

    Attributes:
        url: Its address.
        id: The container's.
    """

    url: str
    id: str
    _container: Any

    def wait(self) -> None:
        """Return never: raises `InteropError` when the container ends of its own accord."""
        code = self._container.wait()["StatusCode"]
        raise InteropError(f"the container ended with code {code}{_log(self._container)}")


@contextmanager
def running(image: str, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> Iterator[Running]:
    """A container of an image, which is removed in the end.

    Args:
        image: The image, which listens on port 8000.
        host: The address of this machine that it is reached at.
        port: The port; 0 takes a free one.
        token: The bearer token that the server in it shall ask for, as INTEROP_TOKEN.

    Raises:
        SourceError: No engine answers, there is no such image, or the port is taken.
        InteropError: It ends, or `GET /health` is not answered with 200 in START seconds; the message has its log.
    """
    client = engine()
    try:
        container = _created(client, image, host, port, token)
        try:
            _start(container, image, host, port)
            published = _ready(container)
            yield Running(f"http://{host}:{published}", container.id, container)
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()


def _created(client: Any, image: str, host: str, port: int, token: str | None) -> Any:
    from docker.errors import DockerException, ImageNotFound

    environment = {} if token is None else {"INTEROP_TOKEN": token}
    try:
        client.images.get(image)
        return client.containers.create(
            image, ports={f"{PORT}/tcp": (host, port or None)}, labels={LABEL: image}, environment=environment
        )
    except ImageNotFound as exc:
        raise SourceError(f"there is no image {image} here; build it, or docker pull {image}") from exc
    except DockerException as exc:
        raise SourceError(f"{image} cannot be run: {exc}") from exc


def _start(container: Any, image: str, host: str, port: int) -> None:
    from docker.errors import APIError

    try:
        container.start()
    except APIError as exc:
        if "port is already allocated" in str(exc) or "address already in use" in str(exc):
            raise SourceError(f"port {port} of {host} is taken; --port 0 takes a free one") from exc
        raise SourceError(f"{image} cannot be run: {exc.explanation or exc}") from exc


def _ready(container: Any) -> int:
    """The port at which it answers."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        container.reload()
        if container.status == "exited":
            code = container.attrs["State"]["ExitCode"]
            raise InteropError(f"the container ended with code {code} before it answered{_log(container)}")
        published = container.ports.get(f"{PORT}/tcp")
        if published and _healthy(published[0]):
            return int(published[0]["HostPort"])
        time.sleep(0.1)
    raise InteropError(f"GET /health on its port {PORT} was not answered with 200 in {START:g} s{_log(container)}")


def _healthy(published: dict[str, str]) -> bool:
    with suppress(httpx.HTTPError):
        host = published["HostIp"].replace("0.0.0.0", "127.0.0.1")
        return httpx.get(f"http://{host}:{published['HostPort']}/health", timeout=2, trust_env=False).status_code == 200
    return False


def _log(container: Any) -> str:
    lines = [line.strip() for line in container.logs(tail=_TAIL).decode(errors="replace").splitlines() if line.strip()]
    return f"; its last words: {' / '.join(lines)}" if lines else "; it said nothing"
