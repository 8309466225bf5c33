"""Sockets of the tiny server: h11 and websockets without I/O, a thread for each connection, and nothing of ours."""

from __future__ import annotations

import contextlib
import queue
import socket as sockets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import h11
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as Answer
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

QUEUED = 64


@dataclass(slots=True)
class Request:
    """An HTTP request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The query's last values."""
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(slots=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Gone(Exception):
    """The client is gone, or the connection was closed."""


class Channel:
    """The server's side of one WebSocket: a reader thread feeds it, the session's thread sends and receives."""

    deflate = False
    max_size = 16 * 1024 * 1024

    def __init__(self, sock: sockets.socket, request: Request, subprotocol: str | None) -> None:
        self.sock = sock
        self.request = request
        self.lock = threading.Lock()
        self.messages: queue.Queue[tuple[bytes, bool] | None] = queue.Queue(QUEUED)
        self.subprotocol = subprotocol
        self._parts: list[bytes] = []
        self._text = True
        factories = [ServerPerMessageDeflateFactory()] if self.deflate else None
        self.protocol = ServerProtocol(
            extensions=factories,
            max_size=self.max_size,
            subprotocols=[subprotocol] if subprotocol else None,  # type: ignore[list-item]
        )

    def handshake(self) -> Answer:
        """The answer 101 to the request."""
        head = f"GET {self.request.target} HTTP/1.1\r\n"
        for key, value in self.request.headers.items():
            if key != "sec-websocket-protocol" or self.subprotocol is not None:  # others are none of ours
                head += f"{key}: {value}\r\n"
        self.protocol.receive_data(head.encode("latin-1") + b"\r\n")
        (handshake,) = self.protocol.events_received()
        assert isinstance(handshake, Handshake)
        answer = self.protocol.accept(handshake)
        self.protocol.send_response(answer)
        return answer

    def receive(self) -> tuple[bytes, bool]:
        """The next message and whether it is text. Raises `Gone`."""
        message = self.messages.get()
        if message is None:
            raise Gone
        return message

    def send(self, text: str) -> None:
        """Send a text message."""
        with self.lock:
            if self.protocol.state is OPEN:
                self.protocol.send_text(text.encode("utf-8", "surrogatepass"))
            self.flush()

    def send_binary(self, data: bytes) -> None:
        """Send a binary message."""
        with self.lock:
            if self.protocol.state is OPEN:
                self.protocol.send_binary(data)
            self.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake."""
        with self.lock:
            if self.protocol.state is OPEN:
                self.protocol.send_close(code, reason)
            self.flush()

    def read(self) -> None:
        """Read until the end; run by the connection's thread."""
        try:
            while data := self.sock.recv(1 << 18):
                with self.lock:
                    self.protocol.receive_data(data)
                    frames = [it for it in self.protocol.events_received() if isinstance(it, Frame)]
                    self.flush()
                for frame in frames:
                    self.take(frame)
                if self.protocol.close_expected() and self.protocol.state is not OPEN:
                    self.messages.put(None)
        except OSError:
            pass
        self.messages.put(None)

    def take(self, frame: Frame) -> None:
        """Put a whole message into the queue."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text, self._parts = frame.opcode is Opcode.TEXT, [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
        else:
            return
        if frame.fin:
            self.messages.put((b"".join(self._parts), self._text))

    def flush(self) -> None:
        """Send what the protocol has to send; an empty part ends the stream."""
        with contextlib.suppress(OSError):
            for data in self.protocol.data_to_send():
                if data:
                    self.sock.sendall(data)
                else:
                    self.sock.shutdown(sockets.SHUT_WR)


class App(Protocol):
    """What the sockets serve."""

    channel: type[Channel]
    also: tuple[str, ...]

    def upgrade(self, request: Request) -> Response | str | None:
        """Refuse a handshake with a response, or accept it with a subprotocol or None."""

    def session(self, channel: Channel) -> None:
        """Serve an accepted WebSocket until it ends."""

    def respond(self, request: Request) -> Response:
        """Answer an HTTP request."""


@dataclass(slots=True)
class Running:
    """A server that runs."""

    url: str
    app: Any
    stop: threading.Event
    open: set[sockets.socket] = field(default_factory=set)
    channels: set[Channel] = field(default_factory=set)

    def end(self) -> None:
        """Tell the server to stop: it closes its sessions with 1012."""
        for channel in list(self.channels):
            channel.close(self.app.going_away)


@contextlib.contextmanager
def serving(app: App, port: int = 0) -> Iterator[Running]:
    """Serve in threads for as long as the block lasts."""
    listeners = [sockets.create_server(("127.0.0.1", port))]
    host, number = listeners[0].getsockname()[:2]
    listeners += [sockets.create_server((address, number)) for address in app.also]
    running = Running(f"http://{host}:{number}", app, threading.Event())
    threads = [threading.Thread(target=_accept, args=(it, running), daemon=True) for it in listeners]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        for thread, listener in zip(threads, listeners, strict=True):
            thread.join()
            listener.close()
        for sock in list(running.open):
            with contextlib.suppress(OSError):
                sock.shutdown(sockets.SHUT_RDWR)


def _accept(listener: sockets.socket, running: Running) -> None:
    listener.settimeout(0.2)
    while not running.stop.is_set():
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            continue
        sock.settimeout(None)
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        running.open.add(sock)
        threading.Thread(target=_connection, args=(sock, running), daemon=True).start()


def _connection(sock: sockets.socket, running: Running) -> None:
    try:
        request, connection = _request(sock)
        if request is None:
            return
        if request.headers.get("upgrade", "").lower() == "websocket":
            _websocket(sock, request, running)
        else:
            _respond(sock, connection, running.app.respond(request))
    except (OSError, h11.ProtocolError):
        pass
    finally:
        running.open.discard(sock)
        sock.close()


def _request(sock: sockets.socket) -> tuple[Request | None, h11.Connection]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    request: Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(sock.recv(1 << 18))
        elif isinstance(event, h11.Request):
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in event.headers}
            request = Request(event.method.decode(), event.target.decode("latin-1"), headers)
        elif isinstance(event, h11.Data):
            assert request is not None
            request.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
            return request, connection
        else:  # the client is gone
            return None, connection


def _respond(sock: sockets.socket, connection: h11.Connection, response: Response) -> None:
    headers = {"Content-Length": str(len(response.body)), "Connection": "close", **response.headers}
    sent = h11.Response(status_code=response.status, headers=list(headers.items()))
    sock.sendall((connection.send(sent) or b"") + (connection.send(h11.Data(data=response.body)) or b""))
    sock.shutdown(sockets.SHUT_WR)


def _websocket(sock: sockets.socket, request: Request, running: Running) -> None:
    verdict = running.app.upgrade(request)
    if isinstance(verdict, Response):
        head = f"HTTP/1.1 {verdict.status} Refused\r\nConnection: close\r\nContent-Length: {len(verdict.body)}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in verdict.headers.items())
        sock.sendall(head.encode() + b"\r\n" + verdict.body)
        return
    channel = running.app.channel(sock, request, verdict)
    answer = channel.handshake()
    channel.flush()
    if answer.status_code != 101:
        return
    running.channels.add(channel)
    worker = threading.Thread(target=running.app.session, args=(channel,), daemon=True)
    worker.start()
    try:
        channel.read()
        worker.join(10)
    finally:
        running.channels.discard(channel)
