"""One thread that watches all sessions: timeouts, keepalive, and the sockets of sessions that are busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from interop.protocol.frames import ErrorCode
from interop.protocol.session import ServerSession
from interop.server.settings import Settings
from interop.websocket import Connection

BUSY = 1.0
"""Seconds of work after which a session's socket is read for it, so that its client's pings are answered."""


class Watched:
    """What the supervisor knows of a session. The session's thread sets `since` and `working`.

    `release` gives the session's place to another client; it may be called twice.
    """

    def __init__(self, connection: Connection, protocol: ServerSession, release: Callable[[], None]) -> None:
        self.connection = connection
        self.protocol = protocol
        self.release = release
        self.working = True
        self.since = time.monotonic()
        self.failed = threading.Event()

    def work(self, working: bool) -> None:
        self.since = time.monotonic()
        self.working = working


class Supervisor:
    """Watches sessions from a thread of its own.

    Args:
        settings: The timeouts.
        hung: Called for a session whose step took too long, after its connection was closed.
    """

    def __init__(self, settings: Settings, hung: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._hung = hung
        self._watched: set[Watched] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        shortest = min(settings.step_timeout, settings.idle_timeout, settings.ping_interval, settings.ping_timeout)
        self._interval = min(0.5, max(0.02, shortest / 4))
        self._thread = threading.Thread(target=self._run, name="interop-supervisor", daemon=True)
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        with self._lock:
            self._watched.add(watched)

    def forget(self, watched: Watched) -> None:
        with self._lock:
            self._watched.discard(watched)

    def stop(self, code: int = 1012, reason: str = "") -> None:
        """Close every session with `code` and end."""
        self._stopped.set()
        for watched in self._snapshot():
            watched.connection.fail(code, reason)

    def _snapshot(self) -> list[Watched]:
        with self._lock:
            return list(self._watched)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            now = time.monotonic()
            for watched in self._snapshot():
                if not watched.failed.is_set():
                    self._look(watched, now)

    def _look(self, watched: Watched, now: float) -> None:
        settings, connection = self._settings, watched.connection
        passed = now - watched.since
        if watched.working:
            if passed > settings.step_timeout:
                self._fail(watched, f"no answer of the environment in {settings.step_timeout:g} s (step_timeout)")
                watched.release()
                self._hung()
            elif passed > BUSY:
                connection.pump()
        elif passed > settings.idle_timeout:
            self._fail(watched, f"no request in {settings.idle_timeout:g} s (idle_timeout)")
        silent = now - connection.last_read
        if connection.pinged and silent > settings.ping_interval + settings.ping_timeout:
            watched.failed.set()
            connection.fail(1011, "keepalive ping timeout")
        elif not connection.pinged and silent > settings.ping_interval:
            connection.ping()

    def _fail(self, watched: Watched, why: str) -> None:
        watched.failed.set()
        codec = watched.protocol.codec
        words = watched.protocol.refuse(ErrorCode.SESSION_ERROR, f"{why}; the session and its environment are closed")
        watched.connection.fail(1000, "", words, text=not codec.native)
