"""The recorder: raw HTTP and WebSocket over blocking sockets. It keeps what it sees and judges nothing.

The parsers are h11 and websockets, both without I/O, so that what breaks a rule of HTTP or RFC 6455 is seen and noted.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket as sockets
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from conformance.errors import ConformanceError
from conformance.evidence import MAX_RECEIVED, MAX_SENT, Event, Evidence, Exchange, Headers, Kind, Socket
from conformance.values import MSGPACK_V1, pack, unpack

MAX_MESSAGE = 128 * 1024 * 1024
"""Bytes of a message that are read at all; more is a violation."""


class Unreachable(ConformanceError):
    """Nothing listens at the server's address."""


class Ended(Exception):
    """The connection is gone; the scenario is over, and what was recorded stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long to wait, in seconds.

    Attributes:
        connect: For a TCP connection and an answer to a handshake.
        reply: For a reply or a response.
        quiet: In which nothing must come.
        settle: In which a place must become free, a connection must close.
    """

    connect: float = 10.0
    reply: float = 30.0
    quiet: float = 0.3
    settle: float = 5.0


class Recorder:
    """Talks to one server and keeps all of it as evidence. Several threads may use it, each with its own connections.

    Args:
        url: `http://host:port[/prefix]` or `https://...`.
        token: Sent as `Authorization: Bearer` with every request.
    """

    def __init__(self, url: str, *, token: str | None = None, timing: Timing | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        self.secure = parts.scheme in ("https", "wss")
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        self.token = token
        self.timing = timing or Timing()
        self.evidence = Evidence(f"http{'s' if self.secure else ''}://{self.authority}{self.prefix}")
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @property
    def authority(self) -> str:
        """Host and port as in a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def now(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self._began, 6)

    def dial(self) -> sockets.socket:
        """A TCP (or TLS) connection. Raises `OSError`."""
        sock = sockets.create_connection((self.host, self.port), self.timing.connect)
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        return ssl.create_default_context().wrap_socket(sock, server_hostname=self.host) if self.secure else sock

    def keep(self, conversation: Socket | Exchange) -> None:
        """Add a conversation; its name must be new."""
        with self._lock:
            assert conversation.name not in self.evidence.conversations, conversation.name
            self.evidence.conversations[conversation.name] = conversation

    def rename(self, name: str, other: str) -> None:
        """Keep a conversation under another name."""
        with self._lock:
            conversation = self.evidence.conversations.pop(name)
            conversation.name = other
            self.evidence.conversations[other] = conversation

    def authorization(self, token: str | None) -> Headers:
        """The headers of a token; an empty one is none."""
        given = self.token if token is None else token
        return [("Authorization", f"Bearer {given}")] if given else []

    # HTTP

    def request(
        self,
        name: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        token: str | None = None,
        timeout: float | None = None,
    ) -> Exchange:
        """Make one HTTP request on a connection of its own.

        Args:
            name: Of the conversation.
            headers: Further ones, or others in place of the usual.
            body: `bytes` go as they are, anything else but None as JSON; `Content-Type` is JSON unless given.
            token: Instead of the run's; `""` for none.
            timeout: For the whole response; a body that is still open then is kept as far as it came.
        """
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        further = list(headers)
        named = {key.lower() for key, _ in further}
        usual = [("Host", self.authority), ("Connection", "close"), *self.authorization(token)]
        sent: Headers = [*(it for it in usual if it[0].lower() not in named), *further]
        if body is not None and "content-type" not in named:
            sent.append(("Content-Type", "application/json"))
        if body is not None or method in ("POST", "PUT", "PATCH"):
            sent.append(("Content-Length", str(len(data))))
        exchange = Exchange(name, method, f"{self.prefix}{path}", self.now(), request=sent, sent=data[:MAX_SENT])
        self.keep(exchange)
        try:
            with self.dial() as sock:
                _exchange(sock, exchange, data, time.monotonic() + (timeout or self.timing.reply))
        except (OSError, h11.ProtocolError) as exc:
            exchange.error = f"{type(exc).__name__}: {exc}"
        exchange.seconds = round(self.now() - exchange.at, 6)
        return exchange

    # WebSocket

    def connect(self, name: str, path: str = "/ws", **options: Any) -> WebSocket:
        """Open a WebSocket. The handshake's outcome is in `.socket`; a refused one is no exception."""
        websocket = WebSocket(self, name, self.opening(path, **options))
        websocket.open()
        return websocket

    def opening(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Iterable[str] = (),
        deflate: bool = False,
        token: str | None = None,
    ) -> Opening:
        """How to open a WebSocket.

        Args:
            headers: Further ones, or others in place of the usual.
            subprotocols: To offer.
            deflate: Whether to offer permessage-deflate.
            token: Instead of the run's; `""` for none.
        """
        return Opening(path, headers or {}, tuple(subprotocols), deflate, token)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a WebSocket is opened, as `Recorder.opening` says."""

    path: str
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]
    deflate: bool
    token: str | None


def _exchange(sock: sockets.socket, exchange: Exchange, data: bytes, deadline: float) -> None:
    connection = h11.Connection(h11.CLIENT)
    head = h11.Request(method=exchange.method, target=exchange.path, headers=exchange.request)
    sock.sendall(connection.send(head) or b"")
    if data:
        sock.sendall(connection.send(h11.Data(data=data)) or b"")
    connection.send(h11.EndOfMessage())
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if _read(sock, deadline, connection.receive_data):
                continue
            exchange.error = "the response did not end in time"
            return
        if isinstance(event, h11.Response):
            exchange.status = event.status_code
            exchange.response = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers.raw_items()]
        elif isinstance(event, h11.Data):
            exchange.body += bytes(event.data)[: MAX_RECEIVED - len(exchange.body)]
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return


def _read(sock: sockets.socket, deadline: float, take: Any) -> bool:
    """Read once; False when the time is over. An end of the stream is handed on as empty bytes."""
    if not _readable(sock, deadline - time.monotonic()):
        return False
    take(sock.recv(1 << 18))
    return True


def _readable(sock: sockets.socket, seconds: float) -> bool:
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    return bool(select.select([sock], [], [], max(seconds, 0))[0])


class WebSocket:
    """One WebSocket connection that is being recorded. `.socket` is the evidence."""

    socket: Socket
    sock: sockets.socket | None
    _protocol: ClientProtocol

    def __init__(self, recorder: Recorder, name: str, opening: Opening) -> None:
        self.recorder = recorder
        self.name = name
        self.timing = recorder.timing
        self._opening = opening

    def open(self) -> None:
        """Open it, with a conversation of its own."""
        recorder, opening = self.recorder, self._opening
        uri = f"ws{'s' if recorder.secure else ''}://{recorder.authority}{recorder.prefix}{opening.path}"
        self._protocol = ClientProtocol(
            parse_uri(uri),
            subprotocols=list(opening.subprotocols) or None,  # type: ignore[arg-type]
            extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)] if opening.deflate else None,
            max_size=MAX_MESSAGE,
        )
        request = self._protocol.connect()
        for key, value in [*recorder.authorization(opening.token), *opening.headers.items()]:
            if key in request.headers:
                del request.headers[key]
            request.headers[key] = value
        self.sock = None
        self._parts: list[bytes] = []
        self._opcode = ""
        self._pending: list[Event] = []
        path = f"{recorder.prefix}{opening.path}"
        self.socket = Socket(self.name, path, recorder.now(), request=list(request.headers.raw_items()))
        recorder.keep(self.socket)
        try:
            self.sock = recorder.dial()
            self._protocol.send_request(request)
            self._shake_hands()
        except OSError as exc:
            self.socket.error = f"{type(exc).__name__}: {exc}"

    def reopen(self, number: int) -> None:
        """Open it again under the same name; what was recorded so far is kept as `NAME~NUMBER`."""
        self.until_end()
        self.abort()
        self.recorder.rename(self.name, f"{self.name}~{number}")
        self.open()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Close it. A conversation that ended early has recorded what there is, and the scenario goes on."""
        self.close()
        return kind is Ended

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.sock is not None and self.socket.is_open and self._protocol.state is OPEN

    @property
    def is_packed(self) -> bool:
        """Whether the server selected the subprotocol whose messages are MessagePack."""
        return self.socket.subprotocol == MSGPACK_V1

    def _shake_hands(self) -> None:
        """Send the handshake and read its answer."""
        self._flush()
        deadline = time.monotonic() + self.timing.connect
        protocol = self._protocol
        while not self.socket.status and self.socket.end is None:
            if not self._pump(deadline):
                self.socket.error = f"no answer to the handshake in {self.timing.connect:g} s"
                return
        if protocol.handshake_exc is not None:
            self.socket.error = f"{type(protocol.handshake_exc).__name__}: {protocol.handshake_exc}"
            if self.socket.status == 101:
                self.note("violation", text=self.socket.error)

    # Sending

    def send(self, message: Any, label: str = "", *, fragments: int = 1) -> None:
        """Send a message: `bytes` as binary, `str` as text, anything else in the session's form. Raises `Ended`."""
        if self.is_packed and not isinstance(message, str | bytes):
            message = pack(message)
        binary = isinstance(message, bytes)
        payload = message if isinstance(message, bytes) else text_of(message).encode("utf-8", "surrogatepass")
        if not self.is_open:
            raise Ended
        opcode = "binary" if binary else "text"
        self.note("send", opcode, payload[:MAX_SENT], label, size=len(payload), frames=fragments)
        step = max(1, -(-len(payload) // fragments))
        parts = [payload[i : i + step] for i in range(0, len(payload), step)] or [b""]
        for number, part in enumerate(parts):
            fin = number == len(parts) - 1
            if number:
                self._protocol.send_continuation(part, fin)
            else:
                (self._protocol.send_binary if binary else self._protocol.send_text)(part, fin)
            self._flush()

    def ping(self, payload: bytes, label: str = "") -> None:
        """Send a ping. Raises `Ended`."""
        if not self.is_open:
            raise Ended
        self.note("send", "ping", payload, label)
        self._protocol.send_ping(payload)
        self._flush()

    # Receiving

    def receive(self, timeout: float | None = None) -> Event | None:
        """The next data message; None when none came in time (noted) or the connection ended."""
        wait = self.timing.reply if timeout is None else timeout
        deadline = time.monotonic() + wait
        while not self._pending:
            if self.socket.end is not None or self.sock is None:
                return None
            if not self._pump(deadline):
                self.note("timeout", seconds=wait)
                return None
        return self._pending.pop(0)

    def ask(self, message: Any, label: str, *, timeout: float | None = None, fragments: int = 1) -> Any:
        """Send a request and return its parsed reply; None where it cannot be read. Raises `Ended` without a reply."""
        self.send(message, label, fragments=fragments)
        reply = self.receive(timeout)
        if reply is None:
            raise Ended
        return self.value(reply)

    def value(self, message: Event) -> Any:
        """What a message holds; None where it cannot be read."""
        packed = message.opcode == "binary" and self.is_packed
        return _unpacked(message.payload) if packed else parsed(message.payload)

    def quiet(self, seconds: float | None = None) -> None:
        """Wait, and note what comes or the silence."""
        wait = self.timing.quiet if seconds is None else seconds
        deadline, before = time.monotonic() + wait, len(self.socket.events)
        while self.socket.end is None and self._pump(deadline):
            pass
        if len(self.socket.events) == before:
            self.note("silence", seconds=wait)
        self._pending.clear()

    def until_end(self, timeout: float | None = None) -> Event | None:
        """Read until the server closes; None if it does not in time (noted)."""
        wait = self.timing.settle if timeout is None else timeout
        deadline = time.monotonic() + wait
        while self.socket.end is None and self.sock is not None:
            if not self._pump(deadline):
                self.note("timeout", seconds=wait)
                break
        return self.socket.end

    # The end

    def finish(self) -> None:
        """End the session as OpenEnv does: a `close` frame, then wait for the server's close."""
        with contextlib.suppress(Ended):
            self.send({"type": "close"}, "close")
            self.until_end()
        self.abort()

    def close(self) -> None:
        """End the session so that the server frees it, without waiting for more than the closing handshake."""
        if self.is_open:
            with contextlib.suppress(OSError):
                self._protocol.send_close(1000)
                self._flush()
                deadline = time.monotonic() + self.timing.settle
                while self._protocol.close_rcvd is None and self.socket.end is None and self._pump(deadline):
                    pass
        self.abort()

    def abort(self) -> None:
        """Drop the TCP connection without a word."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    # Inside

    def note(self, kind: Kind, opcode: str = "", payload: bytes = b"", label: str = "", **more: Any) -> Event:
        """Add an event to the evidence."""
        event = Event(self.recorder.now(), kind, opcode, payload, label, **more)
        event.size = event.size or len(payload)
        self.socket.events.append(event)
        return event

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self.sock is None:
                return
            try:
                if data:
                    self.sock.sendall(data)
                else:
                    self.sock.shutdown(sockets.SHUT_WR)
            except OSError:
                return  # what the server said before it went is still to be read

    def _pump(self, deadline: float) -> bool:
        """Read once and note what came; False when the time is over."""
        if self.sock is None:
            return False
        try:
            if not _readable(self.sock, deadline - time.monotonic()):
                return False
            data = self.sock.recv(1 << 18)
        except OSError:
            data = b""
        protocol = self._protocol
        if data and not protocol.reader.eof:
            protocol.receive_data(data)
        elif not data and not protocol.reader.eof:
            protocol.receive_eof()
        for event in protocol.events_received():
            self._take(event)
        self._flush()
        if protocol.parser_exc is not None and not data_ended(protocol.parser_exc):
            self._once("violation", f"{type(protocol.parser_exc).__name__}: {protocol.parser_exc}")
        elif not data:
            self._once("eof", "")
        return True

    def _once(self, kind: Kind, text: str) -> None:
        if self.socket.end is None:
            self.note(kind, text=text)

    def _take(self, event: Any) -> None:
        if isinstance(event, Response):
            self.socket.status = event.status_code
            self.socket.response = list(event.headers.raw_items())
            self.socket.body = bytes(event.body or b"")
        elif isinstance(event, Frame):
            self._take_frame(event)

    def _take_frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._opcode = "text" if frame.opcode is Opcode.TEXT else "binary"
                self._parts = [bytes(frame.data)]
            case Opcode.CONT:
                self._parts.append(bytes(frame.data))
            case Opcode.PING | Opcode.PONG:
                self.note("receive", "ping" if frame.opcode is Opcode.PING else "pong", bytes(frame.data))
                return
            case Opcode.CLOSE:
                received = self._protocol.close_rcvd
                code, reason = (received.code, received.reason) if received else (None, "")
                self.note("close", code=code, text=reason)
                return
        if frame.fin:
            payload, frames, self._parts = b"".join(self._parts), len(self._parts), []
            kept = payload[:MAX_RECEIVED]
            self._pending.append(self.note("receive", self._opcode, kept, size=len(payload), frames=frames))


def data_ended(exc: Exception) -> bool:
    """Whether a parser's complaint is only that the stream ended."""
    return isinstance(exc, EOFError)


def text_of(message: Any) -> str:
    """A message as the text that is sent: texts as they are, anything else as JSON in the official client's form."""
    return message if isinstance(message, str) else json.dumps(message)


def parsed(payload: bytes) -> Any:
    """JSON of a payload, or None."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _unpacked(payload: bytes) -> Any:
    try:
        return unpack(payload)
    except ValueError:
        return None
