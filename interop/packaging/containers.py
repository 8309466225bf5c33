"""Containers of the Docker engine: servers with limits, removed whatever becomes of the process that started them."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from interop.errors import InteropError, SourceError
from interop.packaging.application import PORT
from interop.packaging.engine import engine
from interop.packaging.owner import LABEL, is_gone, owner

START = 120.0
"""Seconds until an image must answer."""
OPTIONS = {"memory": "memory=2g", "cpus": "cpus=1.5", "pids": "pids=512", "env": "env=OPENAI_API_KEY,HF_TOKEN"}
"""What can be asked for, each with an example; `env` names variables of this process that the container gets too."""
_TAIL = 20
"""Lines of a container's log that an error has."""
_SOON = 2.0
"""Seconds in which an engine says that a container has ended whose connections have."""


class Docker:
    """The `Provider` of `docker:IMAGE[?memory=2g&cpus=1.5&pids=512&env=NAME,...]`, on the engine of DOCKER_HOST.

    Containers have the labels `interop.owner` and `interop.image`. A process beside this one removes them when this one
    has ended, even if it was killed; what is left where both were killed is removed by the next that starts one.
    """

    def start(self, image: str, options: Mapping[str, str], *, host: str, port: int, token: str | None) -> Container:
        """Run an image; see `interop.providers.Provider`."""
        limits = _limits(image, options, token)
        client = engine()
        try:
            _watch()
            _sweep(client, is_gone)
            container = _created(client, image, host, port, limits)
            running = Container(client, container, host)
            try:
                _start(container, image, host, port)
                running.ready()
            except BaseException:
                running.stop()
                raise
        except BaseException:
            client.close()
            raise
        return running


class Container:
    """One that runs.

    Attributes:
        id: The engine's name of it.
    """

    def __init__(self, client: Any, container: Any, host: str) -> None:
        self._client, self._container, self._host = client, container, host
        self._port = 0
        self._stopped = False
        self.id: str = container.id
        _running[self.id] = self

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self._host}:{self._port}"

    def ready(self) -> None:
        """Wait until it answers. Raises `InteropError` with its log."""
        container, deadline = self._container, time.monotonic() + START
        while time.monotonic() < deadline:
            container.reload()
            if container.status == "exited":
                raise InteropError(f"{self._words(' before it answered')}")
            published = container.ports.get(f"{PORT}/tcp")
            if published and _healthy(published[0]):
                self._port = int(published[0]["HostPort"])
                return
            time.sleep(0.1)
        raise InteropError(f"GET /health on its port {PORT} was not answered with 200 in {START:g} s{_log(container)}")

    def ended(self) -> str:
        """Why it has ended by itself, with its last words; empty while it runs."""
        deadline = time.monotonic() + _SOON
        while not self._stopped and time.monotonic() < deadline:
            try:
                self._container.reload()
                if self._container.status == "exited":
                    return self._words("")
            except Exception as exc:  # the engine has gone, or somebody has removed it
                return f"its container cannot be asked why: {exc}"
            time.sleep(0.1)
        return ""

    def wait(self) -> None:
        """Return never: raises `InteropError` when it ends by itself."""
        self._container.wait()
        self._container.reload()
        raise InteropError(self._words(""))

    def stop(self) -> None:
        """Remove it. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        _running.pop(self.id, None)
        from docker.errors import DockerException

        try:
            with suppress(DockerException, OSError):  # gone already, or the engine is: then the reaper's
                self._container.remove(force=True, v=True)
        finally:
            self._client.close()

    def _words(self, when: str) -> str:
        state = self._container.attrs["State"]
        memory = ", as it needed more memory than it may have" if state.get("OOMKilled") else ""
        return f"the container ended with code {state['ExitCode']}{when}{memory}{_log(self._container)}"


# Starting one


def _limits(image: str, options: Mapping[str, str], token: str | None) -> dict[str, Any]:
    """What the engine is told. Raises `SourceError`."""
    for name in options:
        if name not in OPTIONS:
            raise SourceError(f"docker:{image} has no option {name!r}; accepted are {', '.join(OPTIONS.values())}")
    found: dict[str, Any] = {"environment": {} if token is None else {"INTEROP_TOKEN": token}}
    try:
        if "memory" in options:
            found["mem_limit"] = found["memswap_limit"] = _bytes(options["memory"])
        if "cpus" in options:
            found["nano_cpus"] = _positive(float(options["cpus"]) * 1_000_000_000)
        if "pids" in options:
            found["pids_limit"] = _positive(int(options["pids"]))
    except (ValueError, OverflowError):
        given = ", ".join(f"{key}={value}" for key, value in options.items() if key != "env")
        raise SourceError(
            f"docker:{image}: {given} makes no sense; examples are {', '.join(OPTIONS.values())}"
        ) from None
    for name in filter(None, options.get("env", "").split(",")):
        if name not in os.environ:
            raise SourceError(f"docker:{image}?env={options['env']}: this process has no variable {name}")
        found["environment"][name] = os.environ[name]
    return found


def _bytes(text: str) -> int:
    """As the engine's command line has it: a number of bytes, or of k, m or g."""
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    unit = units.get(text[-1:].lower())
    return _positive(float(text[:-1]) * unit if unit else int(text))


def _positive(number: float) -> int:
    if not number >= 1:
        raise ValueError(number)
    return int(number)


def _created(client: Any, image: str, host: str, port: int, limits: Mapping[str, Any]) -> Any:
    from docker.errors import DockerException, ImageNotFound

    try:
        client.images.get(image)
        return client.containers.create(
            image,
            ports={f"{PORT}/tcp": (host, port or None)},
            labels={LABEL: owner(), "interop.image": image},
            **limits,
        )
    except ImageNotFound as exc:
        raise SourceError(f"there is no image {image} here; build it, or docker pull {image}") from exc
    except DockerException as exc:
        raise SourceError(f"{image} cannot be run: {getattr(exc, 'explanation', None) or exc}") from exc


def _start(container: Any, image: str, host: str, port: int) -> None:
    from docker.errors import APIError

    try:
        container.start()
    except APIError as exc:
        if "port is already allocated" in str(exc) or "address already in use" in str(exc):
            raise SourceError(f"port {port} of {host} is taken; --port 0 takes a free one") from exc
        raise SourceError(f"{image} cannot be run: {exc.explanation or exc}") from exc


def _healthy(published: dict[str, str]) -> bool:
    with suppress(httpx.HTTPError):
        host = published["HostIp"].replace("0.0.0.0", "127.0.0.1")
        return httpx.get(f"http://{host}:{published['HostPort']}/health", timeout=2, trust_env=False).status_code == 200
    return False


def _log(container: Any) -> str:
    lines = [line.strip() for line in container.logs(tail=_TAIL).decode(errors="replace").splitlines() if line.strip()]
    return f"; its last words: {' / '.join(lines)}" if lines else "; it said nothing"


# Removing what is left

_running: dict[str, Container] = {}
_reapers: dict[str, subprocess.Popen[bytes]] = {}
"""That of each owner: a process that was forked has one of its own."""
_lock = threading.Lock()


def sweep(mine: str) -> None:
    """Remove all containers of an owner, by a process that has no other use for the engine."""
    client = engine()
    try:
        _sweep(client, lambda it: it == mine)
    finally:
        client.close()


def _sweep(client: Any, left: Any) -> None:
    from docker.errors import DockerException

    with suppress(DockerException):  # others remove what they left too
        for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
            if left(container.labels.get(LABEL, "")):
                with suppress(DockerException):
                    container.remove(force=True, v=True)


def _watch() -> None:
    """Start the reaper of this process, once; in a session of its own, so that no Ctrl+C ends it."""
    with _lock:
        reaper = _reapers.get(owner())
        if reaper is not None and reaper.poll() is None:
            return
        _reapers[owner()] = subprocess.Popen(
            [sys.executable, "-m", "interop.packaging.reaper", str(os.getpid()), owner()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        if reaper is None:
            atexit.register(_end, owner())


def _end(mine: str) -> None:
    """The end of a process that was not killed."""
    if mine != owner():
        return  # it was forked from the one that shall do this
    for container in list(_running.values()):
        container.stop()
    _reapers[mine].terminate()
    _reapers[mine].wait()
