"""The blocking client: a socket, the protocol without I/O, and no thread of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.http11 import Response
from websockets.typing import Subprotocol

from interop._sockets import FOREVER
from interop.client import _common
from interop.client._common import ClientOptions
from interop.environment import StepResult
from interop.errors import ConnectError, ProtocolError, SessionError, SessionTimeout
from interop.protocol.codecs import codec
from interop.protocol.frames import Kind
from interop.protocol.session import ClientSession
from interop.websocket import Closed, Connection

IDLE = 5.0
"""Seconds after which a connection that is not used is kept alive by the one thread that serves all clients."""


class Session:
    """One session with an OpenEnv server: one WebSocket, one environment.

    It never reconnects. When the connection breaks or a reply is late, the session is lost and every later call says
    so: an OpenEnv server cannot give an episode back, and a new session would be another environment.

    A session is used by one thread at a time. It is a context manager; leaving closes it.

    Args:
        url: The server, `http://host:port[/prefix]`.
        options: Timeouts, limits, headers.

    Raises:
        ConnectError: No server answers there, or it refuses the handshake.
    """

    def __init__(self, url: str, options: ClientOptions | None = None) -> None:
        self.url = _common.http_url(url)
        self._options = options or ClientOptions()
        self._connection = _connect(self.url, self._options)
        self._session = ClientSession(codec(self._connection.protocol.subprotocol))
        self._text = not self._session.codec.native
        _keep_alive(self._connection)

    @property
    def codec(self) -> str:
        """The codec agreed on: `json` or `interop.msgpack.v1`."""
        return self._session.codec.name

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        """Start an episode. Arguments that are None are left out, as the server's own defaults are meant then.

        Raises:
            ServerError: The server refused it or the environment raised; the session lives on.
            SessionError: The session has ended.
        """
        arguments = {"seed": seed, "episode_id": episode_id}
        data = {key: value for key, value in arguments.items() if value is not None} | options
        return _common.result(self.request("reset", data))

    def step(self, action: Mapping[str, Any], /) -> StepResult:
        """Advance the episode by one action, an object as the server's action schema says. Raises like `reset`."""
        return _common.result(self.request("step", action))

    def state(self) -> dict[str, Any]:
        """The session's state. Raises like `reset`."""
        state = self.request("state")
        assert isinstance(state, dict)
        return state

    def request(self, kind: Kind, data: Mapping[str, Any] | None = None) -> Any:
        """Send one frame and return the `data` of its reply. Raises like `reset`."""
        self.send(kind, data)
        return self.receive()

    def send(self, kind: Kind, data: Mapping[str, Any] | None = None) -> None:
        """The first half of `request`: many sessions of one thread can wait for their replies together."""
        message = self._session.send(kind, data)
        try:
            self._connection.send(message, text=self._text)
        except Closed as exc:
            # A server that ends a session says why in a frame before it closes.
            with contextlib.suppress(Closed, TimeoutError):
                payload, text = self._connection.receive()
                self._session.receive(payload, text=text)
            self._lose(exc)
        except BaseException as exc:
            self._interrupted(exc)
            raise

    def receive(self) -> Any:
        """The second half of `request`."""
        self._session.check()
        try:
            payload, text = self._connection.receive()
        except TimeoutError:
            self._lose(SessionTimeout(f"no reply in {self._options.timeout:g} s; the session was dropped"))
        except Closed as exc:
            self._lose(exc)
        except BaseException as exc:
            self._interrupted(exc)
            raise
        return self._session.receive(payload, text=text)

    def close(self) -> None:
        """End the session; the server closes its environment. May be called again."""
        with contextlib.suppress(SessionError, ProtocolError, Closed, OSError):
            self._connection.send(self._session.send("close"), text=self._text)
            self._connection.close()
        self._connection.abort()

    def _lose(self, cause: Exception) -> None:
        self._session.lose(cause)
        self._connection.abort()
        self._session.check()

    def _interrupted(self, cause: BaseException) -> None:
        # Half a request was sent, or a reply is under way that is nobody's.
        self._session.lose(cause if isinstance(cause, Exception) else InterruptedError(type(cause).__name__))
        self._connection.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _connect(url: str, options: ClientOptions) -> Connection:
    uri = _common.websocket_uri(url)
    deadline = time.monotonic() + min(options.connect_timeout, FOREVER)
    try:
        sock = socket.create_connection((uri.host, uri.port), timeout=min(options.connect_timeout, FOREVER))
    except OSError as exc:
        raise ConnectError(f"no server answers at {url}: {exc}") from exc
    try:
        context = _common.tls_context(uri, options)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=uri.host)
        protocol = ClientProtocol(
            uri,
            subprotocols=[Subprotocol(name) for name in options.subprotocols or ()] or None,
            extensions=[ClientPerMessageDeflateFactory()] if options.compression else None,
            max_size=options.max_message_size,
        )
        _shake_hands(sock, protocol, options, url, deadline)
        connection = Connection(sock, protocol, send_timeout=options.timeout, max_size=options.max_message_size)
        connection.set_receive_timeout(options.timeout)
    except ConnectError:
        sock.close()
        raise
    except OSError as exc:
        sock.close()
        raise ConnectError(f"the handshake with {url} failed: {exc}") from exc
    except BaseException:
        sock.close()
        raise
    return connection


def _shake_hands(
    sock: socket.socket, protocol: ClientProtocol, options: ClientOptions, url: str, deadline: float
) -> None:
    request = protocol.connect()
    request.headers.update(options.headers)
    protocol.send_request(request)
    for data in protocol.data_to_send():
        sock.sendall(data)
    response: Response | None = None
    while response is None and protocol.handshake_exc is None:
        # For all of it, not for each byte.
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectError(f"the server at {url} closed the connection during the handshake")
        protocol.receive_data(data)
        if protocol.events and isinstance(protocol.events[0], Response):
            response = protocol.events.pop(0)  # type: ignore[assignment]
    failure = protocol.handshake_exc
    if failure is not None:
        status = "" if response is None else f" with HTTP {response.status_code}"
        why = f": {failure}" if isinstance(failure, InvalidHandshake) else ""
        raise ConnectError(f"the server at {url} refused the handshake{status}{why}") from failure


# Keeping idle connections alive. A blocking client cannot answer pings while its user thinks, and official servers
# close a connection 40 s after the last sign of life. One thread for all sessions of the process looks after those
# that have been quiet for a while.

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_lock = threading.Lock()
_pumper: threading.Thread | None = None


def _keep_alive(connection: Connection) -> None:
    global _pumper
    with _lock:
        _connections.add(connection)
        if _pumper is None or not _pumper.is_alive():
            _pumper = threading.Thread(target=_pump, name="interop-keepalive", daemon=True)
            _pumper.start()


def _pump() -> None:
    while True:
        time.sleep(IDLE / 2)
        with _lock:
            connections = list(_connections)
        now = time.monotonic()
        connection = None
        for connection in connections:
            if now - connection.last_read > IDLE and connection.sock.fileno() >= 0:
                connection.pump()
        del connections, connection  # a session that is forgotten is closed


def _after_fork() -> None:
    # The thread does not exist in a child, and the lock may have been held.
    global _lock, _pumper
    _lock, _pumper = threading.Lock(), None
    _connections.clear()


os.register_at_fork(after_in_child=_after_fork)
