"""A blocking WebSocket over a connected socket: websockets' protocol without I/O, plus `recv` and `send`.

One thread owns the connection and calls `receive` and `send`. Another may call `pump`, `ping` and `fail` to keep it
alive while the owner is away: the lock and `busy` see to it that never two threads read from the socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections import deque

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSED, OPEN
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

TEXT, BINARY = 0x81, 0x82
"""First byte of a frame that is a whole message."""
SMALL_READ, LARGE_READ = 1 << 16, 1 << 20
MAX_QUEUED = 64
"""Messages kept for an owner that is busy; past that the kernel holds the sender back."""


class Closed(Exception):
    """The connection has ended; `code` and `reason` are the peer's, 1006 where it said nothing."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection was closed with {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


class Connection:
    """One WebSocket.

    Args:
        sock: A connected socket; it becomes blocking and is closed by `abort`.
        protocol: The protocol of this side, before or after its handshake.
        send_timeout: Seconds that one `send` may wait for a peer that does not read.
    """

    def __init__(self, sock: socket.socket, protocol: ServerProtocol | ClientProtocol, *, send_timeout: float) -> None:
        sock.setblocking(True)
        with contextlib.suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _set_timeout(sock, socket.SO_SNDTIMEO, send_timeout)
        self.sock = sock
        self.protocol = protocol
        self.lock = threading.Lock()
        self.busy = True
        """Whether the owner does something else than reading. Changed under the lock."""
        self.last_read = time.monotonic()
        self.pinged = False
        self._server = isinstance(protocol, ServerProtocol)
        self._max_size = protocol.max_message_size or 1 << 63
        self._messages: deque[tuple[bytes, bool]] = deque()
        self._parts: list[bytes] = []
        self._text = True
        self._read_size = SMALL_READ

    def set_receive_timeout(self, seconds: float | None) -> None:
        """Let `receive` raise `TimeoutError` after so long without data."""
        # The kernel's own timeout costs nothing, where settimeout would add a poll() to every recv().
        _set_timeout(self.sock, socket.SO_RCVTIMEO, seconds or 0)

    def receive(self) -> tuple[bytes, bool]:
        """The next message and whether it is text. Raises `Closed`, or `TimeoutError` if a timeout is set."""
        while True:
            with self.lock:
                if self._messages:
                    return self._messages.popleft()
                if self.protocol.state is CLOSED:
                    raise self.closed()
                self.busy = False
            try:
                data = self.sock.recv(self._read_size)
            except BlockingIOError:
                raise TimeoutError("no message in time") from None
            except OSError:
                data = b""
            with self.lock:
                self.busy = True
                message = self._whole_message(data)
                if message is not None:
                    return message
                self._feed(data)

    def send(self, payload: bytes, *, text: bool) -> None:
        """Send one message. Raises `Closed`."""
        with self.lock:
            if self.protocol.state is not OPEN:
                raise self.closed()
            if self._plain:
                self._send_bytes(self._frame(payload, TEXT if text else BINARY))
                return
            if text:
                self.protocol.send_text(payload)
            else:
                self.protocol.send_binary(payload)
            self._flush()

    def close(self, code: int = 1000, reason: str = "", *, timeout: float = 2.0) -> None:
        """Say goodbye, wait so long for the peer's answer, and close the socket."""
        with self.lock:
            if self.protocol.state is OPEN:
                self.protocol.send_close(code, reason)
                self._flush()
        deadline = time.monotonic() + timeout
        self.set_receive_timeout(timeout)
        with contextlib.suppress(Closed, TimeoutError):
            while time.monotonic() < deadline:
                self.receive()
        self.abort()

    def abort(self) -> None:
        """Close the socket at once. A reader in another thread sees the end."""
        abort(self.sock)

    # For a second thread

    def pump(self) -> bool:
        """Read what has come for an owner that is busy, and answer pings. False at the end of the connection."""
        if not self.lock.acquire(blocking=False):
            return True
        try:
            if self.busy and len(self._messages) < MAX_QUEUED:
                try:
                    self._feed(self.sock.recv(SMALL_READ, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    pass
                except OSError:
                    self._feed(b"")
            return self.protocol.state is OPEN
        finally:
            self.lock.release()

    def ping(self) -> None:
        """Send a ping, unless the owner is in the middle of something."""
        if self.lock.acquire(blocking=False):
            try:
                if self.protocol.state is OPEN:
                    self.protocol.send_ping(b"")
                    self._flush()
                    self.pinged = True
            finally:
                self.lock.release()

    def fail(self, code: int, reason: str, last_words: bytes | None = None, *, text: bool = True) -> None:
        """End the connection from outside, whatever the owner does; `last_words` is a last message."""
        # An owner that hangs inside send() holds the lock; there is no way to say anything then.
        if self.lock.acquire(timeout=0.5):
            try:
                if self.protocol.state is OPEN:
                    if last_words is not None:
                        (self.protocol.send_text if text else self.protocol.send_binary)(last_words)
                    self.protocol.send_close(code, reason)
                    self._flush()
            finally:
                self.lock.release()
        with contextlib.suppress(OSError):
            # The peer still gets what was sent; a reader of ours wakes up.
            self.sock.shutdown(socket.SHUT_RD)
            self.sock.shutdown(socket.SHUT_WR)

    def closed(self) -> Closed:
        """The end of the connection as an exception."""
        received = self.protocol.close_rcvd
        if received is not None:
            return Closed(received.code, received.reason)
        sent = self.protocol.close_sent
        if sent is not None and sent.code != 1000:
            return Closed(sent.code, sent.reason)
        return Closed(1006, "the connection broke")

    # Under the lock. Nearly every message is one frame that arrives alone and leaves alone. The next two methods are a
    # tenth of the time that the library needs for it, which is a third of a small step; all else is the library's.

    @property
    def _plain(self) -> bool:
        return not self.protocol.extensions

    def _whole_message(self, data: bytes) -> tuple[bytes, bool] | None:
        """The message, if the data is one whole data frame and nothing else; else None."""
        size = len(data)
        if size < 6 or data[0] not in (TEXT, BINARY) or self._parts or not self._plain:
            return None
        masked, length, start = data[1] >= 0x80, data[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        end = start + length + (4 if masked else 0)
        protocol = self.protocol
        whole = size == end and protocol.state is OPEN and not protocol.reader.buffer
        if not whole or masked is not self._server or length > self._max_size:
            return None
        self.last_read = time.monotonic()
        self.pinged = False
        if masked:
            return apply_mask(data[start + 4 :], data[start : start + 4]), data[0] == TEXT
        return data[start:], data[0] == TEXT

    def _frame(self, payload: bytes, first: int) -> bytes:
        """A data frame (RFC 6455, section 5.2)."""
        length = len(payload)
        mask = 0 if self._server else 0x80
        if length < 126:
            head = bytes((first, mask | length))
        elif length < 1 << 16:
            head = bytes((first, mask | 126)) + length.to_bytes(2)
        else:
            head = bytes((first, mask | 127)) + length.to_bytes(8)
        if self._server:
            return head + payload
        key = os.urandom(4)
        return head + key + apply_mask(payload, key)

    def _send_bytes(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            self._broken()

    def _broken(self) -> None:
        # The peer is gone or does not read: the reader finds the end of the connection.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.protocol.receive_eof()

    def _feed(self, data: bytes) -> None:
        if data and not self.protocol.reader.eof:
            self.last_read = time.monotonic()
            self.pinged = False
            if len(data) >= self._read_size:
                self._read_size = LARGE_READ
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._assemble(event)
        self._flush()

    def _assemble(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._messages.append((bytes(frame.data), self._text))
                return
            self._parts = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                self._messages.append((b"".join(self._parts), self._text))
                self._parts = []

    def _flush(self) -> None:
        try:
            for data in self.protocol.data_to_send():
                if data:
                    self.sock.sendall(data)
                else:
                    self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._broken()


def abort(sock: socket.socket) -> None:
    """Close a socket at once, for everybody who has it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _set_timeout(sock: socket.socket, option: int, seconds: float) -> None:
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000)))
