"""Where environments run. A runner takes connections and requests off the server's event loop."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interop.environment import Description, Source
from interop.server.connection import run_connection
from interop.server.hosted import CODEC, Engine, Expose, OpenEngine
from interop.server.loop import Loop
from interop.server.serving import Serving
from interop.server.session import Record, Session
from interop.server.settings import Settings
from interop.server.stateless import Reply, call
from interop.server.supervisor import Supervisor

CLOSE_TIMEOUT = 3.0
"""How long a server that stops waits for environments to close."""


class SessionThreads:
    """The threads of sessions. They are daemons: a hung environment must not keep the server from ending."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def start(self, target: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, name="interop-session", daemon=True)
        thread.start()
        with self._lock:
            self._threads = {thread, *(other for other in self._threads if other.is_alive())}

    def join(self, deadline: float) -> None:
        """Wait for all of them once, at most until this time of the monotonic clock."""
        with self._lock:
            threads, self._threads = self._threads, set()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class Runner(Protocol):
    """What the server needs of the place where environments run.

    Attributes:
        expose: Takes over a session that its client wants to use by HTTP too; returns at its end.
    """

    expose: Expose

    def describe(self) -> Description:
        """The environment's description. Raises `SourceError`."""

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        """Answer a stateless request; blocks."""

    def engine(self, id: str) -> Engine:
        """The place of a session that has no connection of its own."""

    def connect(
        self, sock: socket.socket, handshake: bytes, full: tuple[int, int] | None, release: Callable[[], None]
    ) -> None:
        """Serve a connection; returns at once."""

    def stop(self) -> None:
        """Close every session with 1012, and their environments. Returns within seconds; may be called twice."""


class ThreadRunner:
    """Environments in this process: each session in a thread of its own, or many quick ones in one."""

    expose: Expose

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._supervisor = Supervisor(settings)
        self._threads = SessionThreads()
        self._loop = Loop(self._threads.start, self._supervisor.__len__) if hasattr(select, "epoll") else None

    def describe(self) -> Description:
        return self._source.describe()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        return call(self._source, operation, arguments)

    def engine(self, id: str) -> Engine:
        session = Session(self._source, CODEC, id, show_rewards=self._settings.show_rewards)
        session.record = Record()
        return session

    def connect(
        self, sock: socket.socket, handshake: bytes, full: tuple[int, int] | None, release: Callable[[], None]
    ) -> None:
        self._threads.start(
            run_connection,
            sock,
            handshake,
            self._source,
            self._settings,
            self._supervisor,
            full=full,
            release=release,
            shared=self._loop,
            expose=self._expose,
        )

    def _expose(self, serving: Serving) -> None:
        session = serving.session
        self.expose(session.id, OpenEngine(session), serving.connection, serving.release)

    def stop(self) -> None:
        self._supervisor.stop()
        if self._loop is not None:
            self._loop.stop()
        self._threads.join(time.monotonic() + CLOSE_TIMEOUT)
        self._source.close()
