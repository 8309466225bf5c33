"""What a command says: read as it comes, with the middle cut out of what is too long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

CHUNK = 1 << 16
AFTER_END = 32
"""Chunks read of what a command said before it ended; more than a pipe holds (1 MiB, pipe-max-size)."""


class Capped:
    """Keeps the first and the last half of `limit` bytes, in no more memory than twice that."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.cut = 0

    def feed(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._half + CHUNK:
            self._trim()

    def value(self) -> bytes:
        self._trim()
        if not self.cut:
            return bytes(self._head + self._tail)
        return b"%b\n[... %d bytes cut out ...]\n%b" % (bytes(self._head), self.cut, bytes(self._tail))

    def _trim(self) -> None:
        over = len(self._tail) - self._half
        if over > 0:
            self.cut += over
            del self._tail[:over]


class Reader:
    """Reads a pipe in the event loop and calls `sink` with what comes, until its end, `close`, or an error of `sink`.

    That error is the exception of `trouble`.
    """

    def __init__(self, fd: int, sink: Callable[[bytes], None], trouble: asyncio.Future[None]) -> None:
        self.open = True
        self.sink = sink
        self._trouble = trouble
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def finish(self) -> None:
        """Read what is there now, after which the command that has ended has nothing more to say."""
        for _ in range(AFTER_END):
            if not self.open or not self._read():
                return

    def close(self) -> None:
        if self.open:
            self.open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        try:
            if data:
                self.sink(data)
                return True
        except Exception as exc:
            if not self._trouble.done():
                self._trouble.set_exception(exc)
        self.close()
        return False
