"""One command of a sandbox, followed to its end over the socket whose other end its PID 1 has (sandbox_serve.py)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from converters.harbor.pipes import Capped, Reader

KILL_TIMEOUT = 10.0
"""Seconds for the end of a command, or of a sandbox, after it has been killed."""

type Stdin = bytes | Callable[[BinaryIO], None]
type Sink = Callable[[bytes], None]


class SandboxError(RuntimeError):
    """The sandbox cannot be started or used; `at` names the part that failed."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


class SandboxTimeout(SandboxError, TimeoutError):
    """The command did not end in time; its session was killed."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended.

    `code` is its exit status, or 128 and the number of the signal that ended it. Of a stream longer than the limit the
    middle is cut out: a line stands there that says how many bytes, and `cut_stdout` and `cut_stderr` are that number.
    """

    code: int
    stdout: bytes
    stderr: bytes
    cut_stdout: int = 0
    cut_stderr: int = 0


async def follow(
    hub: socket.socket,
    request: Mapping[str, object],
    stdin: Stdin,
    limit: int,
    sinks: tuple[Sink | None, Sink | None],
) -> tuple[Completed, list[Reader]]:
    """Send the request and follow the command to its end; the readers are of streams that others still have open.

    On any error, and when cancelled, the command is killed with its session.
    """
    loop = asyncio.get_running_loop()
    data = json.dumps(request).encode()
    kept = [Capped(limit), Capped(limit)]
    trouble: asyncio.Future[None] = loop.create_future()
    readers: list[Reader] = []
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # which the answer will say
            await loop.sock_sendall(hub, len(data).to_bytes(4) + data)
        fds, status = await _pipes(hub)
        for fd, sink, capped in zip(fds[:2], sinks, kept, strict=False):
            readers.append(Reader(fd, sink or capped.feed, trouble))
        if len(fds) == 3:
            _feed(fds[2], stdin, trouble)
        status = status or await _unless(trouble, _status(hub))
        for reader in readers:
            reader.finish()
        if trouble.done():
            trouble.result()
    except BaseException:
        for reader in readers:
            reader.close()
        await asyncio.shield(_killed(hub))
        raise
    done = Completed(status.code, kept[0].value(), kept[1].value(), kept[0].cut, kept[1].cut)
    return done, [reader for reader in readers if reader.open]


@dataclass(frozen=True)
class _Status:
    code: int


async def _receive(hub: socket.socket) -> tuple[bytes, list[int]]:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(hub, 4096, 3)
            return data, fds
        except ConnectionResetError:  # PID 1 ended with a request unread
            return b"", []
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(hub, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(hub)


async def _pipes(hub: socket.socket) -> tuple[list[int], _Status | None]:
    """The command's pipes (stdout, stderr, perhaps stdin); or its status, where it was killed before it had any."""
    data, fds = await _receive(hub)
    if data[:1] == b"F":
        return fds, _read_status(data[1:]) if data[1:] else None
    return [], _read_status(data)


async def _status(hub: socket.socket) -> _Status:
    data, _ = await _receive(hub)
    return _read_status(data)


def _read_status(data: bytes) -> _Status:
    if data[:1] == b"X":
        status = os.waitstatus_to_exitcode(struct.unpack("i", data[1:5])[0])
        return _Status(status if status >= 0 else 128 - status)
    if data[:1] == b"E":
        raise SandboxError(f"the sandbox cannot start a process, it has as many as it may have: {data[1:].decode()}")
    raise SandboxError("the sandbox has ended")


async def _killed(hub: socket.socket) -> None:
    """Have the command's session killed, and wait for its end, but not for long."""
    with contextlib.suppress(OSError):
        hub.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError, SandboxError, OSError):
        async with asyncio.timeout(KILL_TIMEOUT):
            said = b"F"
            while said == b"F":
                data, fds = await _receive(hub)
                for fd in fds:
                    os.close(fd)
                said = data.removeprefix(b"F")[:1] or data[:1]


async def _unless(trouble: asyncio.Future[None], status: Coroutine[Any, Any, _Status]) -> _Status:
    """The status, or the error that made following the command pointless."""
    task = asyncio.ensure_future(status)
    try:
        waited: set[asyncio.Future[Any]] = {task, trouble}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if trouble.done():
            trouble.result()
        return task.result()
    finally:
        task.cancel()


def _feed(fd: int, stdin: Stdin, trouble: asyncio.Future[None]) -> None:
    """Write to the command in a thread, which ends when the command does not read on."""
    loop = asyncio.get_running_loop()

    def tell(error: Exception) -> None:
        if not trouble.done():
            trouble.set_exception(error)

    def write() -> None:
        try:
            with open(fd, "wb") as pipe:
                pipe.write(stdin) if isinstance(stdin, bytes) else stdin(pipe)
        except BrokenPipeError:
            pass
        except Exception as exc:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, exc)

    threading.Thread(target=write, name="sandbox-stdin", daemon=True).start()
