"""A session that is served: its connection, its environment and its end. One thread at a time runs it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from interop.protocol.frames import ErrorCode
from interop.server.session import Session, text_of
from interop.server.supervisor import Supervisor, Watched
from interop.websocket import Closed, Connection

QUICK = 1e-3
"""Seconds that an answer may take in a thread that serves other sessions too."""


class Shared(Protocol):
    """A thread that serves many sessions."""

    def take(self, serving: Serving) -> bool:
        """Serve the session from now on; False if it is not taken."""


class Serving:
    """From the open session to its end, or to its `expose`, which serves it from then on in the calling thread.

    Attributes:
        slowness: How slow its answers have been lately: 0 is quick. A slow one adds as much as eight quick ones take,
            since a busy machine interrupts a quick one too.
        release: Gives its place back.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        watched: Watched,
        supervisor: Supervisor | None,
        release: Callable[[], None],
        expose: Callable[[Serving], None] | None = None,
    ) -> None:
        self.connection = connection
        self.session = session
        self.watched = watched
        self.text = not session.protocol.codec.native
        self.slowness = 0
        self._supervisor = supervisor
        self.release = release
        self._expose = expose
        self._refusal: bytes | None = None

    def run(self, shared: Shared | None) -> None:
        """Serve in the calling thread until the session ends, or until another place takes it over."""
        connection, watched = self.connection, self.watched
        exposing = False
        try:
            while watched.work(False):
                exposing = self._expose is not None and self.session.exposed and connection.in_between
                if exposing:
                    break
                if shared is not None and shared.take(self):
                    return
                payload, text = connection.receive()
                if not watched.work(True):
                    break
                reply = self.answer(payload, text)
                if reply is None:
                    break
                connection.send(reply, text=self.text)
        except BaseException as exc:
            self.finish(exc)
            return
        if exposing and self._expose is not None and self._supervisor is not None:
            self._supervisor.forget(watched)
            self._expose(self)
        else:
            self.finish()

    def answer(self, payload: bytes, text: bool) -> bytes | None:
        """The reply to a message; None at the end."""
        began = time.perf_counter()
        reply = self.session.handle(payload, text=text)
        if time.perf_counter() - began > QUICK:
            self.slowness += 8
        elif self.slowness:
            self.slowness -= 1
        return reply

    def refuse(self, message: bytes) -> None:
        """End the session with this message."""
        self._refusal = message
        self.finish()

    def finish(self, cause: BaseException | None = None) -> None:
        """Close the environment, then the connection; `cause` is what ended the session, if it was not its client."""
        connection, watched = self.connection, self.watched
        if cause is not None and not isinstance(cause, Closed):  # the environment called sys.exit(), say
            why = f"the session ended with {type(cause).__name__}: {text_of(cause)}"
            self._refusal = self.session.protocol.refuse(ErrorCode.SESSION_ERROR, why)
        try:
            watched.work(True)  # a close that hangs is ended as a step is
            with contextlib.suppress(Exception):
                self.session.close()
        finally:
            if self._supervisor is not None:  # there was a place
                self._supervisor.forget(watched)
            self.release()
            with contextlib.suppress(Closed):
                if self._refusal is not None:
                    connection.send(self._refusal, text=self.text)
                if watched.work(True):  # waits for the last words of the supervisor
                    connection.close(1000)
            connection.abort()
