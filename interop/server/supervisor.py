"""One thread that watches all sessions: timeouts, keepalive, and the sockets of sessions that are busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from interop.protocol.frames import ErrorCode, error
from interop.protocol.session import ServerSession
from interop.server.settings import Settings
from interop.websocket import Connection

BUSY = 0.5
"""Seconds of work after which a session's socket is read for it, so that its client's pings are answered."""
CLOSED = "; the session and its environment are closed"
Phase = tuple[bool, float]
"""Whether a session works, and since when."""


class Watched:
    """What the supervisor knows of a session.

    `release` gives the session's place to another client; it may be called twice. `interrupt` is called once, when
    nobody waits any more for what the session works at.
    """

    def __init__(
        self,
        connection: Connection,
        protocol: ServerSession,
        release: Callable[[], None],
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.connection = connection
        self.protocol = protocol
        self.release = release
        self._interrupt: Callable[[], None] | None = interrupt
        self.failed = False
        """Whether the session was ended from outside: nothing is run for it any more."""
        self.phase: Phase = (True, time.monotonic())
        self._lock = threading.Lock()

    def work(self, working: bool) -> bool:
        """The session begins or ends work: False if it was ended meanwhile."""
        with self._lock:
            self.phase = (working, time.monotonic())
            return not self.failed

    def end(self, code: int, reason: str, why: str | None = None, *, phase: Phase | None = None) -> bool:
        """End the session, unless it was ended before or has left `phase` meanwhile; `why` is for an error frame.

        The session's thread closes the socket when it sees that, so the last words are sent under the lock.
        """
        codec = self.protocol.codec
        words = None if why is None else codec.encode(error(ErrorCode.SESSION_ERROR, why))
        with self._lock:
            if self.failed or (phase is not None and self.phase is not phase):
                return False
            self.failed = True
            self.connection.fail(code, reason, words, text=not codec.native)
            working = self.phase[0]
        if working:
            self.interrupt()
        return True

    def interrupt(self) -> None:
        """Nobody waits any more for what the session works at. For the supervisor's thread."""
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            interrupt()


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
        self._last: tuple[int, str] = (1012, "")
        shortest = min(settings.step_timeout, settings.idle_timeout, settings.ping_interval, settings.ping_timeout)
        self._interval = min(0.25, max(0.02, shortest / 4))  # WS-21: a ping is answered in BUSY and this
        self._thread = threading.Thread(target=self._run, name="interop-supervisor", daemon=True)
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        with self._lock:
            self._watched.add(watched)
            stopped = self._stopped.is_set()
        if stopped:  # it came while the server stopped
            watched.end(*self._last)

    def __len__(self) -> int:
        return len(self._watched)

    def forget(self, watched: Watched) -> None:
        with self._lock:
            self._watched.discard(watched)

    def stop(self, code: int = 1012, reason: str = "") -> None:
        """Close every session with `code`, also those to come, and end."""
        with self._lock:
            self._last = (code, reason)
            self._stopped.set()
        for watched in self._snapshot():
            watched.end(code, reason)

    def _snapshot(self) -> list[Watched]:
        with self._lock:
            return list(self._watched)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            for watched in self._snapshot():
                if not watched.failed:
                    self._look(watched, time.monotonic())

    def _look(self, watched: Watched, now: float) -> None:
        settings, connection = self._settings, watched.connection
        working, since = phase = watched.phase
        passed = now - since
        if working:
            if passed > settings.step_timeout:
                why = f"no answer of the environment in {settings.step_timeout:g} s (step_timeout)"
                if watched.end(1000, "", why + CLOSED, phase=phase):
                    watched.release()
                    self._hung()
            elif passed > BUSY and not connection.pump():
                watched.interrupt()
        elif passed > settings.idle_timeout and not connection.unread():
            why = f"no request in {settings.idle_timeout:g} s (idle_timeout)"
            watched.end(1000, "", why + CLOSED, phase=phase)
        self._keep_alive(watched, phase, now)

    def _keep_alive(self, watched: Watched, phase: Phase, now: float) -> None:
        settings, connection = self._settings, watched.connection
        pinged = connection.pinged
        if not pinged:
            if now - connection.last_read > settings.ping_interval:
                connection.ping()
        # C code that held the interpreter can have kept both the ping and the reader of the pong waiting.
        elif now - pinged > settings.ping_timeout and not connection.unread():
            watched.end(1011, "keepalive ping timeout", phase=phase)
