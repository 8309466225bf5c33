"""Where environments run. A runner takes connections and requests off the server's event loop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interop.environment import Description, Source
from interop.server.connection import run_connection
from interop.server.settings import Settings
from interop.server.stateless import Reply, call
from interop.server.supervisor import Supervisor


class Runner(Protocol):
    """What the server needs of the place where environments run."""

    def describe(self) -> Description:
        """The environment's description. Raises `SourceError`."""

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        """Answer a stateless request; blocks."""

    def connect(
        self, sock: socket.socket, handshake: bytes, full: tuple[int, int] | None, release: Callable[[], None]
    ) -> None:
        """Serve a connection; returns at once."""

    def stop(self) -> None:
        """Close every session with 1012."""


class ThreadRunner:
    """Environments in this process, each session in a thread of its own."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._supervisor = Supervisor(settings)

    def describe(self) -> Description:
        return self._source.describe()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        return call(self._source, operation, arguments)

    def connect(
        self, sock: socket.socket, handshake: bytes, full: tuple[int, int] | None, release: Callable[[], None]
    ) -> None:
        threading.Thread(
            target=run_connection,
            args=(sock, handshake, self._source, self._settings, self._supervisor),
            kwargs={"full": full, "release": release},
            name="interop-session",
            daemon=True,  # a hung environment must not keep the server from ending
        ).start()

    def stop(self) -> None:
        self._supervisor.stop()
