"""Running a server: uvicorn answers HTTP and hands WebSocket connections over to the runner."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

import uvicorn

from interop._sockets import abort
from interop.environment import Description, Source
from interop.errors import InteropError
from interop.server.attached import attach, wanted
from interop.server.hosted import Hosts
from interop.server.http import build_app
from interop.server.mcp_socket import MCP_PATH, serve_mcp
from interop.server.runner import CLOSE_TIMEOUT, Runner, SessionThreads, ThreadRunner
from interop.server.settings import Settings


class Server:
    """A server of one source.

    A context manager: entering starts it in a background thread, leaving closes its sessions and stops it.
    `run` serves in the calling thread until a signal comes.

    Args:
        source: What to serve.
        host: Address to listen on; loopback by default.
        port: TCP port; 0 takes a free one.
        settings: Limits, timeouts and the like.

    Attributes:
        url: `http://host:port`.
        description: What is served.
    """

    def __init__(
        self, source: Source, *, host: str = "127.0.0.1", port: int = 8000, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self._runner: Runner = _runner(source, self.settings)
        try:
            self.description: Description = self._runner.describe()
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=1024)
        except BaseException:
            self._runner.stop()
            raise
        allowed = self.description.max_sessions
        self.max_sessions = self.settings.max_sessions if allowed is None else min(allowed, self.settings.max_sessions)
        self._threads = SessionThreads()
        self._hosts = Hosts(self._runner.engine, self._admit, self._threads.start, self.settings)
        self._runner.expose = self._hosts.expose
        self._active = 0
        self._lock = threading.Lock()
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._uvicorn = _Uvicorn(
            self._stop_sessions,
            uvicorn.Config(
                build_app(self._runner, self._hosts, self.description, self.settings, self.max_sessions),
                ws=_handoff(self),
                log_level="warning",
                timeout_graceful_shutdown=2,
            ),
        )
        self._thread: threading.Thread | None = None

    @property
    def active_sessions(self) -> int:
        """Sessions that hold a place now."""
        return self._active

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._stop_sessions()

    def start(self) -> None:
        """Serve in a background thread; returns when connections are accepted."""
        self._thread = threading.Thread(target=self.run, name="interop-server", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._uvicorn.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise InteropError("the server did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Close every session with 1012 and stop."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(10)
        self._stop_sessions()
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _stop_sessions(self) -> None:
        self._hosts.stop()
        self._threads.join(time.monotonic() + CLOSE_TIMEOUT)  # before the processes of environments are ended
        self._runner.stop()

    def _accept(self, sock: socket.socket, handshake: bytes) -> None:
        path, id = wanted(handshake)
        if path == MCP_PATH:
            self._threads.start(serve_mcp, sock, handshake, self._hosts)
            return
        hosted = self._hosts.get(id)
        if hosted is not None:
            self._threads.start(attach, sock, handshake, self._hosts, hosted)
            return
        full, release = self._admit()
        try:
            self._runner.connect(sock, handshake, full, release)
        except BaseException:  # no thread could be started, say
            abort(sock)
            release()
            raise

    def _admit(self) -> tuple[tuple[int, int] | None, Callable[[], None]]:
        """Take a place, which is given back by the function; or how many are taken and allowed."""
        with self._lock:
            full = (self._active, self.max_sessions) if self._active >= self.max_sessions else None
            if full is None:
                self._active += 1
        return full, self._place() if full is None else _nothing

    def _place(self) -> Callable[[], None]:
        held = True

        def release() -> None:
            nonlocal held
            with self._lock:
                if held:
                    held = False
                    self._active -= 1

        return release


class _Uvicorn(uvicorn.Server):
    """uvicorn, which closes the sessions when it shuts down: after that it raises the signal that ended it again."""

    def __init__(self, stop_sessions: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop_sessions = stop_sessions

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(super().shutdown(sockets), asyncio.to_thread(self._stop_sessions))


def _nothing() -> None:
    """The release of a session that holds no place."""


def _runner(source: Source, settings: Settings) -> Runner:
    if settings.isolation == "process" and not source.own_process:
        from interop.server.workers import ProcessRunner

        return ProcessRunner(source, settings)
    return ThreadRunner(source, settings)


def _handoff(server: Server) -> type[asyncio.Protocol]:
    class Handoff(asyncio.Protocol):
        """What uvicorn takes for a WebSocket implementation: it takes the socket away from the event loop."""

        def __init__(self, **_: Any) -> None:
            self._transport: asyncio.Transport | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it

        def data_received(self, data: bytes) -> None:
            transport = self._transport
            assert transport is not None
            transport.pause_reading()
            sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            # Closes the loop's own descriptor; the connection lives on in ours.
            transport.abort()
            server._accept(sock, data)

    return Handoff
