"""One thread for many sessions whose answers are quick: no stack for each, and none of them wakes another up.

A session in it that turns slow takes the thread with it, and the others go on in a new one. So it is for environments
alone that any thread may call (`Environment.any_thread`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from interop.server.serving import Serving
from interop.websocket import CORES, LATE, LOOK, RETRY

SESSIONS = 2
"""Sessions of a server from which on they share a thread; one alone is served faster in its own."""
TICK = 0.01
"""Seconds between two looks at what the thread does."""
STUCK = 0.01
"""Seconds of one answer after which the others go on without it."""
TOO_SLOW = 16
"""`Serving.slowness` at which a session gets a thread of its own."""
REST = 100
"""Ticks without an answer after which nobody looks until there is one again."""


class Loop:
    """Takes sessions and serves them until they end or turn slow.

    Args:
        start: Starts a thread.
        sessions: How many sessions the server has.
    """

    def __init__(self, start: Callable[..., None], sessions: Callable[[], int]) -> None:
        self._start = start
        self._sessions = sessions
        self._epoll: select.epoll
        self._wakeup: int
        self._servings: dict[int, Serving] = {}
        self._again: set[int] = set()  # those with a message that has been read already
        self._lock = threading.Lock()
        self._turn: object = None
        """Whose thread may serve: one that was left behind with a slow session finds another here."""
        self._answering: Serving | None = None
        self._since = 0.0
        self._late = 0  # as in `Connection`
        self._watching = threading.Event()
        self._stopped = False

    def take(self, serving: Serving) -> bool:
        """Serve a session from now on; False if it is alone, slow or has something to do."""
        if self._sessions() < SESSIONS or serving.slowness or serving.connection.queued:
            return False
        fd = serving.connection.sock.fileno()
        with self._lock:
            if self._stopped:
                return False
            if self._turn is None:
                self._epoll, self._wakeup = select.epoll(), os.eventfd(0, os.EFD_NONBLOCK)
                self._epoll.register(self._wakeup, select.EPOLLIN)
                self._next_thread()
                self._start(self._watch)
            self._servings[fd] = serving
            self._epoll.register(fd, select.EPOLLIN)
        return True

    def stop(self) -> None:
        """End the thread once its sessions have ended; no more are taken."""
        with self._lock:
            if self._turn is not None and not self._stopped:
                os.eventfd_write(self._wakeup, 1)
            self._stopped = True
        self._watching.set()

    def _next_thread(self) -> None:
        self._turn = turn = object()
        self._answering = None
        self._start(self._run, turn)

    def _run(self, turn: object) -> None:
        while not self._stopped or self._servings:
            for fd in self._ready():
                serving = self._servings.get(fd)
                if serving is not None and not self._serve(fd, serving, turn):
                    return
        self._epoll.close()
        os.close(self._wakeup)

    def _ready(self) -> list[int]:
        """The descriptors with something to do. Looking for them a while costs less than being woken up."""
        again = list(self._again)
        poll, began = self._epoll.poll, time.perf_counter()
        ready = poll(0)
        if not ready and not again:
            looks = CORES > 1 and not self._late % RETRY
            while not ready and looks and time.perf_counter() - began < LOOK:
                os.sched_yield()
                ready = poll(0)
            ready = ready or poll()
            self._late = 0 if time.perf_counter() - began < LATE else self._late + 1
        return again + [fd for fd, _ in ready]

    def _serve(self, fd: int, serving: Serving, turn: object) -> bool:
        """Answer one message. False if the thread was left to this session, which has gone on and ended in it."""
        connection, watched = serving.connection, serving.watched
        kept = True
        try:
            message = connection.receive_now()
            if message is None:
                return True
            reply = None
            if watched.work(True):
                self._since, self._answering = time.perf_counter(), serving
                if not self._watching.is_set():
                    self._watching.set()
                try:
                    reply = serving.answer(*message)
                finally:
                    with self._lock:
                        kept = self._turn is turn
                        if kept:
                            self._answering = None
            if not kept:
                if reply is None:
                    serving.finish()
                else:
                    connection.send(reply, text=serving.text)
                    serving.run(self)
                return False
            if reply is None:
                self._leave(fd, serving.finish)
            elif not connection.send_now(reply, text=serving.text):
                self._leave(fd, self._wait_for_reader, serving)
            elif not watched.work(False):
                self._leave(fd, serving.finish)
            elif serving.slowness > TOO_SLOW or serving.session.exposed:
                self._leave(fd, serving.run, self)
            elif connection.queued:
                self._again.add(fd)
            elif self._again:
                self._again.discard(fd)
        except BaseException as exc:
            if kept:
                self._leave(fd, serving.finish, exc)
            else:
                serving.finish(exc)
        return kept

    def _wait_for_reader(self, serving: Serving) -> None:
        serving.connection.send_rest()
        serving.run(self)

    def _leave(self, fd: int, target: Callable[..., None], *args: Any) -> None:
        """Let a session go on in a thread of its own; where none can be started, that is its end, not that of all."""
        serving = self._forget(fd)
        try:
            self._start(target, *args)
        except RuntimeError as exc:
            serving.finish(exc)

    def _forget(self, fd: int) -> Serving:
        self._again.discard(fd)
        self._epoll.unregister(fd)
        return self._servings.pop(fd)

    def _watch(self) -> None:
        """Give the others a new thread when one answer takes long."""
        idle = 0
        while not self._stopped or self._servings:
            time.sleep(TICK)
            serving, since = self._answering, self._since
            if serving is None:
                idle += 1
                if idle > REST:
                    self._rest()
                continue
            idle = 0
            if time.perf_counter() - since < STUCK:
                continue
            with self._lock:
                if self._answering is serving and self._since == since:
                    self._forget(serving.connection.sock.fileno())
                    serving.slowness += 4 * TOO_SLOW
                    self._next_thread()

    def _rest(self) -> None:
        self._watching.clear()
        # An answer that began just now has seen the event still set.
        if self._answering is None and not self._stopped:
            self._watching.wait()
