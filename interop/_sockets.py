"""Blocking sockets, plain and TLS: timeouts that cost nothing, and reads and writes that do not wait."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import struct
from collections.abc import Iterator

READ = 1 << 16
FOREVER = 1 << 21
"""The longest time, in seconds, that poll() takes: 24 days."""


def limit_receive(sock: socket.socket, seconds: float | None) -> None:
    """How long one recv may take; None is for ever. On TLS it limits a send too."""
    if isinstance(sock, ssl.SSLSocket):
        # OpenSSL would read again after the kernel's timeout.
        sock.settimeout(None if seconds is None else min(seconds, FOREVER))
    else:
        _set_timeout(sock, socket.SO_RCVTIMEO, seconds)


def limit_send(sock: socket.socket, seconds: float | None) -> None:
    """How long one send may wait for a peer that does not read; None is for ever. Not for TLS."""
    if not isinstance(sock, ssl.SSLSocket):
        _set_timeout(sock, socket.SO_SNDTIMEO, seconds)


def read_now(sock: socket.socket) -> bytes | None:
    """What has come; None if nothing has, empty at the end of the connection."""
    try:
        with _not_waiting(sock) as flags:
            return sock.recv(READ, flags)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
    except OSError:
        return b""


def send_now(sock: socket.socket, data: bytes) -> None:
    """Send all of it or raise: `BlockingIOError` if nothing was sent, another `OSError` if the stream is torn."""
    with _not_waiting(sock) as flags:
        if sock.send(data, flags) < len(data):
            raise OSError("a part was sent")


def unread(sock: socket.socket) -> bool:
    """Whether data has come that nobody has read yet. Not for TLS."""
    try:
        return bool(sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
    except OSError:
        return False


def abort(sock: socket.socket) -> None:
    """Close a socket at once, for everybody who has it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@contextlib.contextmanager
def _not_waiting(sock: socket.socket) -> Iterator[int]:
    """The flag of a recv or send that does not wait. A TLS socket takes none and is told beforehand."""
    if not isinstance(sock, ssl.SSLSocket):
        yield socket.MSG_DONTWAIT
        return
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        yield 0
    finally:
        sock.settimeout(timeout)


def _set_timeout(sock: socket.socket, option: int, seconds: float | None) -> None:
    # The kernel's own timeout costs nothing, where settimeout would add a poll() to every call. 0 is for ever.
    micros = 0 if seconds is None else math.ceil(min(seconds, FOREVER) * 1_000_000)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", *divmod(micros, 1_000_000)))
