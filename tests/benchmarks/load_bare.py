"""Load generator: a bare WebSocket client, for the floor and where the client must cost as little as it can.

It is a blocking socket and websockets' protocol without I/O: a message out, a message in.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.benchmarks.load import STEPS, Burst, Timed, actions, generate, turns

BURST = 0.5
"""Seconds of one burst of `BusyBesideOne`."""


class Bare:
    """A connection; a context manager."""

    def __init__(self, url: str, path: str = "/") -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.protocol = ClientProtocol(parse_uri(f"ws://{parts.netloc}{path}"), max_size=None)
        self.protocol.send_request(self.protocol.connect())
        self._flush()
        self._await(Response)

    def send(self, message: bytes, *, text: bool = False) -> None:
        (self.protocol.send_text if text else self.protocol.send_binary)(message)
        self._flush()

    def receive(self) -> bytes:
        frame = self._await(Frame)
        assert isinstance(frame, Frame)
        return bytes(frame.data)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            self.sock.sendall(data)

    def _await(self, awaited: type) -> object:
        while True:
            for event in self.protocol.events_received():
                if isinstance(event, awaited):
                    return event
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionError("the server has gone")
            self.protocol.receive_data(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


class Asking:
    """A connection to the floor, as a player: asks for so many bytes, gets them."""

    def __init__(self, connection: Bare, size: int) -> None:
        self._connection = connection
        self._request = b"%010d" % size

    def send(self) -> None:
        self._connection.send(self._request)

    def receive(self) -> int:
        self._connection.receive()
        return 1


@contextmanager
def floor(url: str, *, size: int, steps: int = STEPS) -> Iterator[Burst]:
    """One connection; the bytes are not looked at."""
    with Bare(url) as connection:
        player = Asking(connection, size)

        def burst() -> int:
            for _ in range(steps):
                player.send()
                player.receive()
            return steps

        yield burst


@contextmanager
def floors(url: str, *, size: int, sessions: int) -> Iterator[Burst]:
    """Many connections in one thread."""
    with ExitStack() as stack:
        yield turns([Asking(stack.enter_context(Bare(url)), size) for _ in range(sessions)])


class Balancing:
    """A session of `SleepyCartPole-v0`; its first reset says how long each of its steps sleeps."""

    def __init__(self, connection: Bare, sleep: float = 0) -> None:
        self.connection = connection
        self.sent: float | None = None
        """When the request under way was sent; None if there is none."""
        self.started = False
        self._actions = actions()
        self._ask(b'{"type":"reset","data":{"seed":0,"options":{"sleep":%g}}}' % sleep)
        self.receive()

    def send(self) -> None:
        if self.started:
            self._ask(b'{"type":"step","data":{"action":%d}}' % next(self._actions))
        else:
            self._ask(b'{"type":"reset","data":{}}')

    def receive(self) -> float | None:
        """Take the reply; returns the seconds of a step, None for a reset."""
        assert self.sent is not None
        reply = self.connection.receive()
        passed = time.perf_counter() - self.sent if self.started else None
        if b'"type":"error"' in reply:
            raise ConnectionError(reply.decode())
        self.sent, self.started = None, b'"done":true' not in reply
        return passed

    def _ask(self, message: bytes) -> None:
        self.connection.send(message, text=True)
        self.sent = time.perf_counter()


class BusyBesideOne(Timed):
    """Sessions that step as fast as they are answered, and one more whose latencies do not count."""

    def __init__(self, busy: list[Balancing], one: Balancing) -> None:
        super().__init__()
        self._busy, self._one = busy, one
        self._selector = selectors.DefaultSelector()
        for player in (*busy, one):
            self._selector.register(player.connection.sock, selectors.EVENT_READ, player)

    def __call__(self) -> int:
        steps, end = 0, time.perf_counter() + BURST
        for player in (*self._busy, self._one):
            if player.sent is None:
                player.send()
        waiting = len(self._busy)
        while waiting:
            for key, _ in self._selector.select():
                player = key.data
                passed = player.receive()
                if player is not self._one and passed is not None:
                    self.latencies.append(passed)
                    steps += 1
                if time.perf_counter() < end:
                    player.send()
                elif player is not self._one:
                    waiting -= 1
        return steps


@contextmanager
def latency(url: str, *, sessions: int, sleep: float) -> Iterator[Burst]:
    """All sessions but one are busy; the one sleeps `sleep` seconds in each step."""
    with ExitStack() as stack:
        one = Balancing(stack.enter_context(Bare(url, "/ws")), sleep)
        busy = [Balancing(stack.enter_context(Bare(url, "/ws"))) for _ in range(sessions - 1)]
        yield BusyBesideOne(busy, one)


if __name__ == "__main__":
    generate({"floor": floor, "sized": partial(floor, steps=1), "floors": floors, "latency": latency})
